//! Entries of the configuration, as TOML.

use std::path::PathBuf;

/// The gateway's program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_trunkline");

/// The program of an example, which cargo builds along with the tests.
pub fn program(example: &str) -> PathBuf {
    // Tests lie in target/<profile>/deps, examples in target/<profile>/examples.
    let own = std::env::current_exe().expect("own path");
    let profile = own.parent().and_then(|deps| deps.parent()).expect("the profile's folder");
    let path = profile.join("examples").join(example);
    assert!(path.exists(), "{} is missing: build it with `cargo build --examples`", path.display());
    path
}

/// `[servers.<name>]` with a command. Further keys may be appended.
pub fn section(name: &str, command: &str, args: &[&str]) -> String {
    format!("\n[servers.{name}]\ncommand = {command:?}\nargs = {args:?}\n")
}

/// The scripted server on pipes.
pub fn scripted(name: &str, args: &[&str]) -> String {
    section(name, &program("scripted-server").to_string_lossy(), args)
}

/// The conformance server, which rmcp drives, on pipes.
pub fn conformance(name: &str, args: &[&str]) -> String {
    section(name, &program("conformance-server").to_string_lossy(), args)
}

/// The built-in demo server.
pub fn demo(name: &str) -> String {
    section(name, PROGRAM, &["demo-server"])
}

/// A server behind a URL.
pub fn over_http(name: &str, url: &str) -> String {
    format!("\n[servers.{name}]\nurl = {url:?}\n")
}

/// `[services.<name>]`. Further keys may be appended.
pub fn service(name: &str, url: &str) -> String {
    format!("\n[services.{name}]\nurl = {url:?}\n")
}

/// A legacy server in a few lines of shell: it lists one tool, `odd`, and answers by the arms of `cases`, in which
/// `$id` is the request's id and `$line` the request.
pub fn shell(name: &str, capabilities: &str, cases: &str) -> String {
    let script = format!(
        r#"while IFS= read -r line; do
id=${{line#*\"id\":}}; id=${{id%%[,\}}]*}}
case "$line" in
{cases}
*'"initialize"'*) printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"',"result":{{"protocolVersion":"2025-11-25","capabilities":{{{capabilities}}},"serverInfo":{{"name":"shell","version":"1"}}}}}}' ;;
*'"tools/list"'*) printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"',"result":{{"tools":[{{"name":"odd","inputSchema":{{"type":"object"}}}}]}}}}' ;;
*'"id":'*) printf '%s\n' '{{"jsonrpc":"2.0","id":'"$id"',"error":{{"code":-32601,"message":"Method not found"}}}}' ;;
esac; done"#
    );
    // In the configuration, `${` begins a reference.
    section(name, "sh", &["-c", &script.replace("${", "$${")]) + "protocol = \"legacy\"\n"
}

/// The scripted server, with a copy of every byte that it is sent in a file.
pub fn recorded(name: &str, file: &std::path::Path, args: &str) -> String {
    let script = format!("tee '{}' | '{}' {args}", file.display(), program("scripted-server").display());
    section(name, "sh", &["-c", &script])
}
