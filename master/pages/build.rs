//! Puts pages into the program, each with its digest and compressed: the built files of the dashboard, and
//! the page that shows the description of the API.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

/// Directory of the dashboard's built files, from the root of the repository.
const DASHBOARD: &str = "dashboard/dist";
/// Directory of the pages about the API, from this package.
const DOCS: &str = "docs";
/// Bytes of a digest that tell one version of a file from another.
const TAG_BYTES: usize = 12;

/// Media types by the extensions of files. Another extension has to be added here.
const MEDIA_TYPES: [(&str, &str); 12] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
];

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let package = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).canonicalize()?;
    let root = package.join("../..").canonicalize()?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let dashboard = root.join(DASHBOARD);
    let docs = package.join(DOCS);
    for input in [&dashboard, &docs] {
        println!("cargo:rerun-if-changed={}", input.display());
    }
    if !dashboard.join("index.html").is_file() {
        return Err(format!("{} has no index.html", dashboard.display()).into());
    }

    let mut files = Vec::new();
    collect(&dashboard, "", &mut files)?;
    collect(&docs, "/docs", &mut files)?;
    files.sort();

    let mut table = String::from("&[\n");
    for (number, (path, file)) in files.iter().enumerate() {
        let bytes = fs::read(file)?;
        let smaller = Some(compressed(&bytes)?).filter(|smaller| smaller.len() < bytes.len());
        let gzip = match smaller {
            Some(smaller) => {
                let name = format!("{number}.gz");
                fs::write(out.join(&name), smaller)?;
                format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")))")
            }
            None => "None".to_owned(),
        };
        let (media_type, tag) = (media_type(file)?, tag(&bytes));
        writeln!(
            table,
            "    Page {{ path: {path:?}, media_type: {media_type:?}, tag: {tag:?}, \
             bytes: include_bytes!({:?}), gzip: {gzip} }},",
            file.display().to_string()
        )?;
    }
    table.push(']');
    fs::write(out.join("pages.rs"), table)?;
    Ok(())
}

/// Finds the files below a directory, each with the path at which it is served.
fn collect(dir: &Path, above: &str, found: &mut Vec<(String, PathBuf)>) -> Result<(), Failure> {
    for entry in fs::read_dir(dir)? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str()).ok_or("a name is no text")?;
        let path = format!("{above}/{name}");
        if file.is_dir() {
            collect(&file, &path, found)?;
        } else {
            // A page is found without the extension of its file.
            let path = path.strip_suffix(".html").unwrap_or(&path);
            let path = if path == "/index" { "/" } else { path };
            found.push((path.to_owned(), file));
        }
    }
    Ok(())
}

fn media_type(file: &Path) -> Result<&'static str, Failure> {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let known = MEDIA_TYPES.iter().find(|(known, _)| *known == extension);
    let (_, media_type) = known.ok_or_else(|| format!("{} is of no kind known", file.display()))?;
    Ok(media_type)
}

fn compressed(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(TAG_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
