//! The project's files, and the breaches that the rules find in them.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::tokens::{self, Token};

/// Folders that are made, not written.
const NOT_OURS: [&str; 5] = [".git", "target", "node_modules", "corpus", "artifacts"];

/// One file.
#[derive(Debug)]
pub struct File {
    /// Below the project's root, with `/` between the parts.
    pub path: String,
    /// Its text; bytes that are no text are replaced.
    pub text: String,
    tokens: OnceLock<Vec<Token>>,
    shipped: OnceLock<Vec<Token>>,
}

impl File {
    fn new(path: String, text: String) -> Arc<File> {
        Arc::new(File { path, text, tokens: OnceLock::new(), shipped: OnceLock::new() })
    }

    /// Whether it is Rust.
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether only tests see it.
    pub fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// The room it lies in: the folder below `src`, or the stem of a file that lies there itself.
    pub fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        Some(rest.split_once('/').map_or_else(|| rest.trim_end_matches(".rs"), |(room, _)| room))
    }

    /// Its tokens.
    pub fn tokens(&self) -> &[Token] {
        self.tokens.get_or_init(|| tokens::tokens(&self.text))
    }

    /// Its tokens, without what only tests see.
    pub fn shipped(&self) -> &[Token] {
        self.shipped.get_or_init(|| if self.is_test() { Vec::new() } else { tokens::shipped(self.tokens()) })
    }
}

/// All files.
#[derive(Clone, Debug)]
pub struct Tree(Vec<Arc<File>>);

impl Tree {
    /// Reads the project.
    pub fn read() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        collect(root, root, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree(files)
    }

    /// The same tree with one file more, or another text in it.
    pub fn with(&self, path: &str, text: &str) -> Tree {
        let mut files: Vec<Arc<File>> = self.0.iter().filter(|file| file.path != path).cloned().collect();
        files.push(File::new(path.to_owned(), text.to_owned()));
        Tree(files)
    }

    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.0.iter().map(Arc::as_ref)
    }

    /// The Rust files below `src`.
    pub fn sources(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.is_rust() && file.path.starts_with("src/"))
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files().find(|file| file.path == path)
    }
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<Arc<File>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && !NOT_OURS.contains(&name.as_str()) {
            collect(root, &path, files);
        } else if kind.is_file() {
            let parts: Vec<_> =
                path.strip_prefix(root).unwrap().iter().map(|part| part.to_string_lossy()).collect();
            // A file that is gone again was somebody's temporary one.
            if let Ok(bytes) = std::fs::read(&path) {
                files.push(File::new(parts.join("/"), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
}

/// A rule that does not hold: where, and what to do about it.
#[derive(Clone, Debug)]
pub struct Breach {
    place: String,
    line: usize,
    cure: String,
}

impl Breach {
    /// A breach in `file`.
    pub fn new(file: &str, line: usize, cure: impl Into<String>) -> Breach {
        Breach { place: file.to_owned(), line, cure: cure.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.place, self.line, self.cure)
    }
}
