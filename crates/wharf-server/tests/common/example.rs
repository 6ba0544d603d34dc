//! The examples of the crates `wharf` and `wharf-proto` as processes of their own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use super::program::Running;

/// What the example prints before its address.
const READY: &str = "listening on ";

/// A running example that echoes, which ends with this value.
#[derive(Debug)]
pub struct Echo {
    _process: Running,
    /// As `127.0.0.1:9001`.
    pub address: String,
}

impl Echo {
    /// Starts `websocket_echo` of the crate `wharf`.
    #[track_caller]
    pub fn start() -> Self {
        Self::of("websocket_echo")
    }

    /// Starts an example by its name on a port that the system chooses, and waits until it listens.
    #[track_caller]
    pub fn of(name: &str) -> Self {
        let mut command = Command::new(example(name));
        command.arg("127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped());
        let process = Running::start(command);
        let line = process.line();
        let address = line.strip_prefix(READY);
        let address = address.unwrap_or_else(|| panic!("the example said {line:?}, not `{READY}...`"));
        Self { address: address.to_owned(), _process: process }
    }

    /// Its host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Its address as the beginning of a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The program of an example. It is built here, since `cargo test --test` builds none; where it is there already
/// that takes no time.
#[track_caller]
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<bool> = OnceLock::new();
    let server = Path::new(env!("CARGO_BIN_EXE_wharf"));
    let folder = server.parent().expect("a program is in a folder");
    let built = BUILT.get_or_init(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The whole workspace, so that dependencies have the features that they were built with for the tests.
        cargo.args(["build", "--quiet", "--locked", "--workspace", "--examples"]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        // What cargo tells this test of its package would be news to build scripts, which would then run again.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&name);
            }
        }
        cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().is_ok_and(|status| status.success())
    });
    assert!(built, "the examples do not build: `cargo build --workspace --examples` says why");
    folder.join("examples").join(name)
}
