//! A client of the stdio front: every line in, every line out.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::gateway::Gateway;
use super::servers::PROGRAM;
use super::within;

/// `trunkline stdio` with its pipes. Dropping it kills it.
pub struct Pipe {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// Messages that came while another was waited for.
    aside: Vec<Value>,
    _folder: Option<Arc<TempDir>>,
}

/// The command, without anything of the tester's own settings.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("stdio").args(args).env_remove("TRUNKLINE_TOKEN").env_remove("TRUNKLINE_CONFIG");
    command
}

impl Pipe {
    /// With a fleet of its own.
    pub fn own(config: &str, args: &[&str]) -> Pipe {
        let folder = tempfile::Builder::new().prefix("trunkline-it-").tempdir().expect("folder");
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, config).expect("configuration written");
        let data = folder.path().join("data");
        let own = ["--config", file.to_str().expect("text"), "--data-dir", data.to_str().expect("text")];
        let mut pipe = Pipe::start(command(&[&own[..], args].concat()));
        pipe._folder = Some(Arc::new(folder));
        pipe
    }

    /// As a bridge to a gateway.
    pub fn to(gateway: &Gateway, args: &[&str]) -> Pipe {
        let url = format!("http://{}", gateway.address);
        Pipe::start(command(&[&["--connect", url.as_str()][..], args].concat()))
    }

    /// Whatever `command` starts.
    pub fn start(mut command: Command) -> Pipe {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("started");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("output")).lines();
        Pipe { child, input, output, aside: Vec::new(), _folder: None }
    }

    /// Sends a line as it is.
    pub async fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(format!("{line}\n").as_bytes()).await.expect("written");
        input.flush().await.expect("flushed");
    }

    /// Sends a request.
    pub async fn send(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let request = json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params });
        self.say(&request.to_string()).await;
    }

    /// Sends a notification.
    pub async fn notify(&mut self, method: &str, params: Value) {
        self.say(&json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string()).await;
    }

    /// The next line, whatever it is; `None` at the end.
    pub async fn line(&mut self) -> Option<String> {
        within("a line", self.output.next_line()).await.expect("output")
    }

    /// The next message that `wanted` accepts. Every line must be a message.
    pub async fn find(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.aside.iter().position(&wanted) {
            return self.aside.remove(at);
        }
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("the output ended before {what}"));
            let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"));
            assert_eq!(message["jsonrpc"], "2.0", "{line}");
            if wanted(&message) {
                return message;
            }
            self.aside.push(message);
        }
    }

    /// The answer to the request with this id.
    pub async fn answer(&mut self, id: impl Into<Value>) -> Value {
        let id = id.into();
        self.find("an answer", |message| message.get("id") == Some(&id) && message.get("method").is_none())
            .await
    }

    /// The next notification or question of this method.
    pub async fn heard(&mut self, method: &str) -> Value {
        self.find(method, |message| message["method"] == method).await
    }

    /// Asks and waits.
    pub async fn request(&mut self, id: impl Into<Value>, method: &str, params: Value) -> Value {
        let id = id.into();
        self.send(id.clone(), method, params).await;
        self.answer(id).await
    }

    /// `initialize` and what follows it; the client can be asked.
    pub async fn open(&mut self) -> Value {
        let params = json!({ "protocolVersion": super::clients::LEGACY, "capabilities": { "elicitation": {} }, "clientInfo": { "name": "it", "version": "1" } });
        let answer = self.request("open", "initialize", params).await;
        self.notify("notifications/initialized", json!({})).await;
        answer["result"].clone()
    }

    /// Ends the input.
    pub fn close(&mut self) {
        self.input = None;
    }

    /// Waits for the end of the process; nothing but messages may have come.
    pub async fn ended(&mut self) -> ExitStatus {
        while let Some(line) = self.line().await {
            self.aside.push(serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}")));
        }
        within("the end of the process", self.child.wait()).await.expect("a status")
    }

    /// Messages that nobody has asked for yet.
    pub fn rest(&self) -> &[Value] {
        &self.aside
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32)).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signal sent");
    }
}
