//! What is installed, by `make install` and by the Debian package, is the same and fits together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::servers::PROGRAM;
use crate::support::within;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Installs this build below a folder; what is made on the way stays there, too.
async fn install(folder: &Path, target: &str) {
    let mut make = Command::new("make");
    make.arg(target).current_dir(root()).stdin(Stdio::null());
    // The program is there: cargo need not be asked for it.
    make.arg(format!("PROGRAM={PROGRAM}")).arg("CARGO=true").arg("PREFIX=/opt/trunkline");
    make.arg(format!("DESTDIR={}", folder.join("root").display()));
    make.arg(format!("PAGES={}", folder.join("pages").display()));
    // What cargo says to a make above is not meant for this one.
    for name in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CARGO_MAKEFLAGS"] {
        make.env_remove(name);
    }
    let done =
        within("make ends", tokio::task::spawn_blocking(move || make.output())).await.unwrap().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

#[tokio::test]
async fn make_installs_what_fits_together_and_takes_all_of_it_away_again() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "install").await;
    let top = folder.path().join("root/opt/trunkline");
    let read = |path: &str| {
        std::fs::read_to_string(top.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    for unit in ["lib/systemd/system/trunkline.service", "lib/systemd/user/trunkline.service"] {
        let unit = read(unit);
        assert!(unit.contains("\nExecStart=/opt/trunkline/bin/trunkline serve\n"), "{unit}");
    }
    assert!(read("share/man/man1/trunkline.1").contains(".TH trunkline"));
    assert!(read("share/bash-completion/completions/trunkline").contains("_trunkline"));
    assert!(read("share/zsh/site-functions/_trunkline").starts_with("#compdef trunkline"));
    assert!(read("share/fish/vendor_completions.d/trunkline.fish").contains("complete -c trunkline"));
    let version = Command::new(top.join("bin/trunkline")).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    install(folder.path(), "uninstall").await;
    assert_eq!(files(&folder.path().join("root")), Vec::<PathBuf>::new());
}

/// Where a file of the package is installed by make.
fn by_make(path: &str) -> String {
    let path = path.trim_start_matches("usr/");
    // Debian's zsh looks elsewhere than its authors'.
    path.replace("zsh/vendor-completions", "zsh/site-functions")
}

#[tokio::test]
async fn the_debian_package_has_the_files_that_make_installs() {
    let folder = tempfile::tempdir().unwrap();
    install(folder.path(), "install").await;
    let top = folder.path().join("root/opt/trunkline");
    let installed: BTreeSet<String> = files(&top)
        .into_iter()
        .map(|path| path.strip_prefix(&top).unwrap().to_string_lossy().into_owned())
        .collect();
    let manifest: toml_edit::DocumentMut =
        std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let mut packaged = BTreeSet::new();
    for asset in assets {
        let asset = asset.as_array().unwrap();
        let text = |index: usize| asset.get(index).and_then(|text| text.as_str()).unwrap();
        let (source, target) = (text(0), text(1));
        let made = source.starts_with("target/");
        assert!(made || root().join(source).is_file(), "{source} is not there");
        if let Some(page) = source.strip_prefix("target/pages/") {
            assert!(folder.path().join("pages").join(page).is_file(), "make does not make {source}");
        }
        let name = if target.ends_with('/') { source.rsplit('/').next().unwrap() } else { "" };
        packaged.insert(by_make(&format!("{target}{name}")));
    }
    assert_eq!(packaged, installed);
}

#[test]
fn the_configuration_that_the_image_is_tried_with_has_no_faults() {
    let check = Command::new(PROGRAM)
        .args(["check", "--config", "docker/gateway.toml"])
        .env("TRUNKLINE_GATEWAY__LISTEN", "0.0.0.0:6270")
        .current_dir(root())
        .output()
        .unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}
