//! Compresses the files of the dashboard, so that the binary has them as they are sent: `src/http/ui/web` is the source,
//! and nothing that was derived of it is kept beside it.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Folders of the files, in the order of their list.
const FOLDERS: [&str; 2] = ["src/http/ui/web", "src/http/ui/web/vendor"];

fn main() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?);
    let mut list = String::from("&[\n");
    for folder in FOLDERS {
        println!("cargo::rerun-if-changed={folder}");
        let mut files = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            if let Some(content_type) = content_type(&file) {
                list.push_str(&compressed(&file, content_type, &out)?);
            }
        }
    }
    list.push_str("]\n");
    fs::write(out.join("ui_files.rs"), list)
}

/// Returns the content type of a file; `None` for one that is not served.
fn content_type(file: &Path) -> Option<&'static str> {
    match file.extension()?.to_str()? {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" | "mjs" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// Writes a file compressed and returns its line of the list. Libraries name each other as packages; a browser needs the
/// file's name, as no page of ours has an inline map of imports.
fn compressed(file: &Path, content_type: &str, out: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", file.display());
    let text = fs::read_to_string(file)?.replace("from\"preact\"", "from\"./preact.mjs\"");
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let packed = out.join(format!("{name}.gz"));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text.as_bytes())?;
    fs::write(&packed, encoder.finish()?)?;
    Ok(format!(
        "    File {{ name: {name:?}, content_type: {content_type:?}, etag: \"\\\"{:016x}\\\"\", packed: include_bytes!({packed:?}) }},\n",
        hasher.finish()
    ))
}
