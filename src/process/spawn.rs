//! Creation of a process for a program: cloned into its control group, set up, and turned into the program by the
//! system call itself.
//!
//! The standard library is not used, for two reasons. A process that moves to its control group after its creation
//! waits there for every CPU to have been seen (an RCU grace period: some 9 ms of a start's 60 on Linux 6.18); one that
//! is created in it does not. And the C library's `execvp` gives a file that the kernel does not know how to run, such
//! as a program for another machine, to a shell.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;

use nix::fcntl::{OFlag, openat};
use nix::libc::{self, c_char, c_int};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, setpgid, write};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use super::dispositions::reset_signals;
use super::pidfd;

/// A step of a new process before its program runs. It must neither allocate nor take a lock: locks that other threads
/// held when the process was cloned are held for ever.
type Step = Box<dyn FnMut() -> io::Result<()> + Send>;

/// A program and the setup of its process. Its environment is empty at first; it leads a process group of its own, and
/// its signals are as a program expects them, whatever was done to ours.
pub(super) struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    directory: Option<PathBuf>,
    steps: Vec<Step>,
}

/// Our ends of a child's three pipes.
pub struct Pipes {
    /// Writing end of the child's stdin.
    pub stdin: ChildStdin,
    /// Reading end of the child's stdout.
    pub stdout: ChildStdout,
    /// Reading end of the child's stderr.
    pub stderr: ChildStderr,
}

/// Returns the number of bytes in a child's stdin that nobody has read yet; `None` if the kernel does not report it.
pub fn unread(stdin: &ChildStdin) -> Option<usize> {
    usize::try_from(rustix::io::ioctl_fionread(stdin).ok()?).ok()
}

/// A process that runs its program.
pub(super) struct Spawned {
    pub(super) pid: i32,
    /// Opened before the process can have been reaped, so it cannot refer to another one.
    pub(super) pidfd: OwnedFd,
    pub(super) pipes: Pipes,
}

impl Command {
    pub(super) fn new(program: PathBuf) -> Command {
        let (arguments, environment, directory, steps) = (Vec::new(), BTreeMap::new(), None, Vec::new());
        Command { program, arguments, environment, directory, steps }
    }

    /// Returns the program that it is to run.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn arg(&mut self, argument: impl Into<OsString>) {
        self.arguments.push(argument.into());
    }

    /// Sets a variable, replacing an earlier value.
    pub(super) fn env(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        self.environment.insert(name.into(), value.into());
    }

    pub(super) fn current_dir(&mut self, directory: impl Into<PathBuf>) {
        self.directory = Some(directory.into());
    }

    /// Adds a step for the new process to run before its program, after the steps added before. If it fails, the spawn
    /// fails with its error.
    ///
    /// # Safety
    ///
    /// Only async-signal-safe calls are allowed in it (signal-safety(7)): it must neither allocate nor lock.
    // SAFETY: nothing is done here; whoever adds the step answers for it, as said above.
    pub(super) unsafe fn before_exec(&mut self, step: impl FnMut() -> io::Result<()> + Send + 'static) {
        self.steps.push(Box::new(step));
    }

    /// Starts the program, in the control group whose directory is `group`, if there is one. Returns when it runs, or when that failed and the new process is
    /// gone. Must be called inside a runtime.
    pub(super) fn spawn(self, group: Option<File>) -> io::Result<Spawned> {
        self.spawn_by(group, &WAYS)
    }

    fn spawn_by(self, group: Option<File>, ways: &[Way]) -> io::Result<Spawned> {
        let image = self.image()?;
        let directory = self.directory.map(|directory| CString::new(directory.into_os_string().into_vec()));
        let [stdin, stdout, stderr] = [pipe()?, pipe()?, pipe()?];
        let (mut told, tell) = pipe()?;
        let pipes = Pipes {
            stdin: ChildStdin::from_std(OwnedFd::from(stdin.1).into())?,
            stdout: ChildStdout::from_std(OwnedFd::from(stdout.0).into())?,
            stderr: ChildStderr::from_std(OwnedFd::from(stderr.0).into())?,
        };
        let mut setup = Setup {
            stdio: [stdin.0, stdout.1, stderr.1],
            directory: directory.transpose()?,
            group,
            steps: self.steps,
            image,
            tell,
        };
        let (pid, pidfd) = setup.make_process(ways)?;
        // Our copy of the writing end, too.
        drop(setup);
        let mut errno = [0; mem::size_of::<i32>()];
        // The exec of the program closes the writing end.
        if told.read_exact(&mut errno).is_ok() {
            let _ = waitpid(Pid::from_raw(pid), None);
            return Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)));
        }
        Ok(Spawned { pid, pidfd, pipes })
    }

    fn image(&self) -> io::Result<Image> {
        let program = self.program.as_os_str();
        let arguments = std::iter::once(program).chain(self.arguments.iter().map(OsString::as_os_str));
        let variables = self.environment.iter().map(|(name, value)| entry(name, value));
        Ok(Image {
            program: CString::new(program.as_bytes())?,
            arguments: Vector::new(arguments.map(|argument| argument.as_bytes().to_vec()))?,
            environment: Vector::new(variables)?,
        })
    }
}

/// Returns `NAME=value`.
fn entry(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

/// Returns the reading and the writing end of a pipe; neither outlives an exec.
fn pipe() -> io::Result<(File, File)> {
    let (reading, writing) = io::pipe()?;
    Ok((OwnedFd::from(reading).into(), OwnedFd::from(writing).into()))
}

/// Method of creating a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// clone3(2): in its control group from its first instruction on (Linux 5.7).
    Cloned,
    /// fork(2): it moves to its control group by itself. For older kernels, and containers without clone3.
    Forked,
}

/// Methods in order of preference.
const WAYS: [Way; 2] = [Way::Cloned, Way::Forked];

/// Setup of a new process, complete before its creation: nothing may be allocated there.
struct Setup {
    stdio: [File; 3],
    directory: Option<CString>,
    /// Directory of its control group; `None` for ours.
    group: Option<File>,
    steps: Vec<Step>,
    image: Image,
    tell: File,
}

impl Setup {
    /// Creates the process, by the first method that works; returns only in ours.
    fn make_process(&mut self, ways: &[Way]) -> io::Result<(i32, OwnedFd)> {
        // A handler of ours that ran in the new process would take its signals for ours.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let mut made = Err(io::ErrorKind::Unsupported.into());
        for way in ways {
            made = match way {
                Way::Cloned => self.by_clone3(),
                Way::Forked => self.by_fork(),
            };
            // On any failure the next method is tried: the kernel's errors do not tell them apart.
            if made.is_ok() {
                break;
            }
        }
        let _ = before.thread_set_mask();
        made
    }

    fn by_clone3(&mut self) -> io::Result<(i32, OwnedFd)> {
        let mut pidfd: c_int = -1;
        // SAFETY: all zeroes are a valid value of this plain structure.
        let mut how: libc::clone_args = unsafe { mem::zeroed() };
        how.flags = libc::CLONE_PIDFD as u64;
        how.pidfd = &raw mut pidfd as u64;
        how.exit_signal = libc::SIGCHLD as u64;
        if let Some(group) = &self.group {
            how.flags |= CLONE_INTO_CGROUP;
            how.cgroup = u64::try_from(group.as_raw_fd()).unwrap_or_default();
        }
        // SAFETY: without CLONE_VM and without a stack of its own this is a fork: the new process has a copy of our
        // memory and goes on behind this call. The structure and the place for the descriptor outlive the call.
        match unsafe { libc::syscall(libc::SYS_clone3, &raw mut how, mem::size_of_val(&how)) } {
            0 => self.become_program(Way::Cloned),
            pid if pid > 0 => {
                // SAFETY: the kernel has just opened it for us, and nobody else knows it.
                let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
                Ok((i32::try_from(pid).map_err(io::Error::other)?, pidfd))
            }
            _ => Err(io::Error::last_os_error()),
        }
    }

    fn by_fork(&mut self) -> io::Result<(i32, OwnedFd)> {
        // SAFETY: the new process does nothing but `become_program`, which keeps to what is allowed there.
        match unsafe { libc::fork() } {
            0 => self.become_program(Way::Forked),
            pid if pid > 0 => pidfd::open(pid).map(|pidfd| (pid, pidfd)).inspect_err(|_| {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                let _ = waitpid(Pid::from_raw(pid), None);
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Runs the program in the new process, or writes the error to `tell` and exits.
    fn become_program(&mut self, way: Way) -> ! {
        let Err(error) = self.prepare(way).and_then(|()| self.image.run());
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes();
        let _ = write(&self.tell, &errno);
        // SAFETY: it ends the process, and runs nothing of ours before.
        unsafe { libc::_exit(127) }
    }

    /// Does what stands between the creation of the process and its program. Plain system calls: nothing in it
    /// allocates.
    fn prepare(&mut self, way: Way) -> io::Result<()> {
        if let (Way::Forked, Some(group)) = (way, &self.group) {
            write(openat(group, c"cgroup.procs", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?, b"0")?;
        }
        // None of ours is below 3: those were open before we began.
        let [stdin, stdout, stderr] = &self.stdio;
        dup2_stdin(stdin)?;
        dup2_stdout(stdout)?;
        dup2_stderr(stderr)?;
        setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
        reset_signals()?;
        self.directory.as_deref().map_or(Ok(()), chdir)?;
        self.steps.iter_mut().try_for_each(|step| step())
    }
}

/// Flag of clone3(2); not in `libc` as a number of 64 bits.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Arguments of `execve`.
struct Image {
    program: CString,
    arguments: Vector,
    environment: Vector,
}

/// Texts, and the array of pointers that C expects, the last one null.
struct Vector {
    pointers: Vec<*const c_char>,
    /// Targets of the pointers. Never changed, so that they stay valid.
    _texts: Vec<CString>,
}

impl Vector {
    fn new(texts: impl Iterator<Item = Vec<u8>>) -> io::Result<Vector> {
        let texts = texts.map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let pointers = texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Ok(Vector { pointers, _texts: texts })
    }
}

impl Image {
    /// Turns this process into the program; returns only on failure.
    fn run(&self) -> io::Result<std::convert::Infallible> {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::cgroup::Cgroups;
    use super::super::limits::Limits;
    use super::*;

    fn command(program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program.into());
        arguments.iter().for_each(|argument| command.arg(*argument));
        command
    }

    async fn end_of(spawned: Spawned, input: &str) -> (String, i32) {
        let Spawned { pid, pipes: Pipes { mut stdin, mut stdout, stderr: _held }, .. } = spawned;
        stdin.write_all(input.as_bytes()).await.expect("read");
        drop(stdin);
        let mut output = String::new();
        stdout.read_to_string(&mut output).await.expect("text");
        match waitpid(Pid::from_raw(pid), None).expect("ours") {
            nix::sys::wait::WaitStatus::Exited(_, code) => (output, code),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_program_gets_its_pipes_variables_directory_and_group_either_way() {
        for way in WAYS {
            let mut command =
                command("/bin/sh", &["-c", "cat; pwd; env | grep -v ^_=; ps -o pgid= $$; exit 7"]);
            command.env("A", "first");
            command.env("A", "2");
            command.env("PWD", "/");
            command.env("PATH", "/usr/bin:/bin");
            command.current_dir("/");
            let spawned = command.spawn_by(None, &[way]).expect("runs");
            let pid = spawned.pid;
            let (output, code) = end_of(spawned, "in\n").await;
            let lines: Vec<&str> = output.lines().map(str::trim).collect();
            let group = pid.to_string();
            assert_eq!(
                (lines[0], lines[1], *lines.last().expect("one"), code),
                ("in", "/", &*group, 7),
                "{way:?}"
            );
            assert!(lines.contains(&"A=2") && !output.contains("HOME"), "{way:?}: {output}");
        }
    }

    #[tokio::test]
    async fn a_program_runs_in_its_cgroup_from_its_first_instruction_either_way() {
        let cgroups = match Cgroups::probe(&format!("spawn{}", std::process::id())) {
            Ok(cgroups) => cgroups,
            Err(reason) => return eprintln!("not tried: no control groups here: {reason}"),
        };
        for (number, way) in (1..).zip(WAYS) {
            let leaf = cgroups.leaf(number, &Limits::default()).expect("made");
            let spawned = command("/bin/cat", &["/proc/self/cgroup", "-"])
                .spawn_by(Some(leaf.directory().expect("there")), &[way]);
            let spawned = spawned.expect("runs");
            assert_eq!(leaf.members(), [spawned.pid], "{way:?}");
            let (output, _) = end_of(spawned, "").await;
            assert!(output.lines().any(|line| line.ends_with(&format!("/{number}"))), "{way:?}: {output}");
            leaf.remove();
        }
        cgroups.remove();
    }

    #[tokio::test]
    async fn what_fails_before_the_program_runs_is_the_error_and_leaves_no_process() {
        for way in WAYS {
            let fails = |with: fn(&mut Command), program: &str| {
                let mut command = command(program, &[]);
                with(&mut command);
                command.spawn_by(None, &[way]).err().and_then(|error| error.raw_os_error())
            };
            assert_eq!(fails(|_| {}, "/no/such/program"), Some(libc::ENOENT));
            assert_eq!(fails(|_| {}, "/etc/passwd"), Some(libc::EACCES));
            assert_eq!(
                fails(|command| command.current_dir("/no/such/place"), "/bin/true"),
                Some(libc::ENOENT)
            );
            // SAFETY: it calls nothing.
            let refuse = |command: &mut Command| unsafe {
                command.before_exec(|| Err(io::Error::from_raw_os_error(libc::ENOTTY)));
            };
            assert_eq!(fails(refuse, "/bin/true"), Some(libc::ENOTTY));
        }
    }

    #[tokio::test]
    async fn steps_are_done_in_order_and_the_mask_of_the_caller_is_as_it_was() {
        let before = SigSet::thread_get_mask().expect("a mask");
        for way in WAYS {
            let mut command = command("/bin/sh", &["-c", "umask"]);
            for mask in [0o022, 0o027] {
                // SAFETY: a plain system call.
                unsafe {
                    command.before_exec(move || {
                        libc::umask(mask);
                        Ok(())
                    });
                }
            }
            let (output, _) = end_of(command.spawn_by(None, &[way]).expect("runs"), "").await;
            assert_eq!(output.trim(), "0027", "{way:?}");
        }
        assert_eq!(SigSet::thread_get_mask().expect("a mask"), before);
    }
}
