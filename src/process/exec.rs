//! How a child becomes its program: by the system call itself. The C library's way gives a file
//! that the kernel does not know how to run, such as a program for another machine, to a shell.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;

use nix::libc::{self, c_char};
use tokio::process::Command;

/// What `execve` is given, made before the fork because nothing may be allocated after it.
struct Image {
    program: CString,
    arguments: Vector,
    environment: Vector,
}

/// Texts, and what C wants instead of a list of them: pointers, the last one null.
struct Vector {
    pointers: Vec<*const c_char>,
    /// What the pointers point at. Never changed, so that they hold.
    _texts: Vec<CString>,
}

// SAFETY: the pointers lead to the heap memory of `_texts`, which moves along, belongs to nobody
// else and is never written.
unsafe impl Send for Vector {}
// SAFETY: as above; there is no way to change anything through a shared reference.
unsafe impl Sync for Vector {}

impl Vector {
    fn new(texts: impl Iterator<Item = Vec<u8>>) -> io::Result<Vector> {
        let texts = texts.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Ok(Vector { pointers, _texts: texts })
    }
}

impl Image {
    /// Turns this process into the program; returns only when that failed.
    fn run(&self) -> io::Result<()> {
        // SAFETY: arrays that end in null, of texts that end in null, all owned by `self`.
        unsafe {
            libc::execve(
                self.program.as_ptr(),
                self.arguments.pointers.as_ptr(),
                self.environment.pointers.as_ptr(),
            );
        }
        Err(io::Error::last_os_error())
    }
}

/// Has the process that `command` will start run its program without any help. To be called when
/// nothing is changed on `command` any more; its environment must have been cleared.
pub(super) fn without_shell(command: &mut Command) -> io::Result<()> {
    let std = command.as_std();
    let arguments = std::iter::once(std.get_program()).chain(std.get_args());
    let variable = |(name, value): (&OsStr, Option<&OsStr>)| {
        let mut entry = OsString::from(name);
        entry.push("=");
        entry.push(value?);
        Some(entry.into_vec())
    };
    let image = Image {
        program: CString::new(std.get_program().as_bytes())?,
        arguments: Vector::new(arguments.map(|argument| argument.as_bytes().to_vec()))?,
        environment: Vector::new(std.get_envs().filter_map(variable))?,
    };
    let become_it = move || image.run();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; `execve` is one, and
    // nothing is allocated. What else is to happen before the program runs was added before this.
    unsafe { command.pre_exec(become_it) };
    Ok(())
}
