//! From arguments to an exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::base::ServerName;
use crate::{app, demo};

use super::activity;
use super::admin;
use super::arguments::{Arguments, Command, Serve, Stdio};
use super::words::{fail, say};
use super::{configuration, exit, health, keys, load, login, onboard, packaging, policy};

/// Runs the program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => serve(arguments.serve),
        Some(Command::Serve(serve_arguments)) => serve(serve_arguments.over(arguments.serve)),
        Some(Command::Stdio(stdio)) => serve_stdio(stdio, arguments.serve),
        Some(Command::Import(import)) => onboard::import(import),
        Some(Command::Connect(connect)) => onboard::connect(connect, arguments.serve.config),
        Some(Command::Login(arguments_of_login)) => login::login(arguments_of_login, arguments.serve),
        Some(Command::Logout(arguments_of_logout)) => login::logout(arguments_of_logout, arguments.serve),
        Some(Command::Doctor(doctor)) => onboard::doctor(doctor, arguments.serve.config),
        Some(Command::Check(check)) => configuration::check(check, arguments.serve.config),
        Some(Command::Config { command }) => configuration::config(command, arguments.serve.config),
        Some(Command::Health(health)) => health::health(health, arguments.serve),
        Some(Command::Policy { command }) => policy::run(command, arguments.serve.config),
        Some(Command::Key { command }) => keys::run(command, arguments.serve),
        Some(Command::Completions { shell }) => packaging::completions(shell),
        Some(Command::Man) => packaging::manual(),
        Some(Command::Activity(asked)) => activity::run(&asked, arguments.serve),
        Some(Command::Admin(command)) => admin::run(command, arguments.serve.config),
        Some(Command::DemoServer) => demo_server(),
    }
}

fn serve(arguments: Serve) -> ExitCode {
    run_gateway(arguments, app::Face::Listener)
}

fn serve_stdio(arguments: Stdio, before: Serve) -> ExitCode {
    let server = match arguments.server.as_deref().map(ServerName::new).transpose() {
        Ok(server) => server,
        Err(error) => return fail(exit::USAGE, &format!("--server: {error}")),
    };
    let Some(url) = arguments.connect else {
        let serve = Serve { config: arguments.config, listen: None, data_dir: arguments.data_dir };
        return run_gateway(serve.over(before), app::Face::Pipes(server));
    };
    let connect = app::Connect {
        url,
        server,
        token_env: arguments.token_env,
        token_file: arguments.token_file,
        ca_file: arguments.ca_file,
    };
    match app::connect(connect) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(exit::FAILURE, &failure.to_string()),
    }
}

fn run_gateway(arguments: Serve, face: app::Face) -> ExitCode {
    let (loaded, sources) = match load::sourced(arguments.config, arguments.data_dir, arguments.listen) {
        Ok(found) => found,
        Err(code) => return code,
    };
    match app::run(loaded, sources, face, say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(exit::FAILURE, &failure.to_string()),
    }
}

fn demo_server() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::FAILURE, &error.to_string()),
    };
    match runtime.block_on(demo::run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(exit::FAILURE, &error.to_string()),
    }
}
