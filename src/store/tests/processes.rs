//! What takes a second process: dying by SIGKILL, and not being root.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use super::*;

/// Tells the test binary, started again, that it is the other process of a test.
const OTHER_PROCESS: &str = "TRUNKLINE_STORE_TEST_DIR";

/// This test again, in a process of its own that sees `OTHER_PROCESS`.
fn other_process(test: &str, folder: &Path, prefix: &[&str]) -> Command {
    let binary = std::env::current_exe().unwrap();
    let mut words = prefix.iter().map(std::ffi::OsStr::new).chain([binary.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    let module = module_path!().split_once("::").unwrap().1;
    command.args([&format!("{module}::{test}"), "--exact", "--nocapture", "--test-threads=1"]);
    command.env(OTHER_PROCESS, folder).stdin(Stdio::null());
    command
}

#[tokio::test]
async fn what_was_flushed_survives_sigkill() {
    if let Some(folder) = std::env::var_os(OTHER_PROCESS) {
        let store = open(Path::new(&folder)).await;
        for id in 0..200 {
            store.revoke([id; 16], SystemTime::now() + HOUR);
        }
        store.flush().await.unwrap();
        fs::write(Path::new(&folder).join("flushed"), "").unwrap();
        std::future::pending::<()>().await;
    }
    let folder = TempDir::new().unwrap();
    let mut child = other_process("what_was_flushed_survives_sigkill", folder.path(), &[])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let flushed = folder.path().join("flushed");
    let seen = timeout(LONG, async {
        while !flushed.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let seen = seen.await;
    child.kill().unwrap();
    child.wait().unwrap();
    seen.expect("the other process never flushed");
    let store = open(folder.path()).await;
    assert_eq!(store.load_revocations(SystemTime::now()).await.unwrap().len(), 200);
    assert!(aside(folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_that_may_not_be_written_is_told_read_and_taken_up_when_it_may() {
    const TEST: &str = "a_file_that_may_not_be_written_is_told_read_and_taken_up_when_it_may";
    if let Some(folder) = std::env::var_os(OTHER_PROCESS) {
        return read_only(Path::new(&folder)).await;
    }
    let folder = TempDir::new().unwrap();
    if !rustix::process::geteuid().is_root() {
        return read_only(folder.path()).await;
    }
    // Root may write everywhere, so the test runs again as nobody.
    std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
    let identity = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    match other_process(TEST, folder.path(), &identity).output() {
        Err(error) => skip(&format!("root is not hindered by file modes, and setpriv does not run: {error}")),
        // What setpriv says when it cannot start a program, such as a test binary in a folder of root's alone.
        Ok(output) if matches!(output.status.code(), Some(126 | 127)) => skip("nobody cannot run the tests"),
        Ok(output) => assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
            "{output:?}"
        ),
    }
}

async fn read_only(folder: &Path) {
    let store = open(folder).await;
    store.remember_era("files:1", Era::Legacy, "1");
    store.shutdown().await.unwrap();
    let chmod = |folder_mode, file_mode| {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        fs::set_permissions(file(folder), fs::Permissions::from_mode(file_mode)).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(folder_mode)).unwrap();
    };
    chmod(0o500, 0o400);
    let store = open(folder).await;
    store.remember_era("files:1", Era::Modern, "2");
    until_unavailable(&store).await;
    let error = store.flush().await.unwrap_err().to_string();
    assert!(error.contains("owner and mode"), "{error}");
    chmod(0o700, 0o600);
    until_serving(&store).await;
    store.flush().await.unwrap();
    assert_eq!(store.era_verdict("files:1").await, verdict(Era::Modern, "2"));
    assert!(aside(folder).is_empty());
}
