//! Debian's nginx in front of a server: a proxy of the kind that most servers stand behind.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{PATIENCE, socket::Address};

/// How often a port that the system had free may be another's a moment later.
const ATTEMPTS: usize = 10;

/// What is said of requests that it passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// `proxy_pass` and nothing else: HTTP/1.0 to the server, without `Upgrade`.
    Default,
    /// As nginx's own manual has it for WebSocket.
    Upgrades,
}

impl Passing {
    fn directives(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Upgrades => {
                "proxy_http_version 1.1;
                 proxy_set_header Host $http_host;
                 proxy_set_header Upgrade $http_upgrade;
                 proxy_set_header Connection $connection_upgrade;"
            }
        }
    }
}

/// A running nginx, which ends with this value. If the test panics its log is printed.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    address: Address,
}

impl Nginx {
    /// Starts one in front of the server at `upstream`, as `127.0.0.1:8000`, and waits until it listens.
    #[track_caller]
    pub fn start(upstream: &str, passing: Passing) -> Self {
        for _ in 0..ATTEMPTS {
            if let Some(nginx) = Self::try_start(upstream, passing) {
                return nginx;
            }
        }
        panic!("nginx does not start; is Debian's package nginx installed? `cargo xtask test` installs it");
    }

    /// None where the port was taken by another in between.
    fn try_start(upstream: &str, passing: Passing) -> Option<Self> {
        // nginx cannot be asked for any port that is free.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("a port is free").to_string();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("nginx.conf");
        fs::write(&path, configuration(folder.path(), &address, upstream, passing)).expect("it is written");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-e").arg(folder.path().join("error.log"));
        command.arg("-c").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx is installed; run `cargo xtask test`");
        let mut nginx = Self { child, folder, address: Address::Tcp(address.clone()) };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&address).is_err() {
            let ended = nginx.child.try_wait().expect("it is our child").is_some();
            if ended || Instant::now() > deadline {
                return None;
            }
            // tidy: sleeps because nginx tells nobody when it listens.
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(nginx)
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its address as the beginning of a URL.
    pub fn url(&self) -> String {
        match &self.address {
            Address::Tcp(address) => format!("http://{address}"),
            other => panic!("{other:?} has no URL"),
        }
    }
}

/// Everything nginx writes stays in `folder`; one process, so that it ends whole.
fn configuration(folder: &Path, address: &str, upstream: &str, passing: Passing) -> String {
    let (folder, directives) = (folder.display(), passing.directives());
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .concat();
    format!(
        "daemon off; master_process off; pid {folder}/nginx.pid;
         events {{}}
         http {{
             access_log off; {paths}
             map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
             server {{
                 listen {address};
                 location / {{ proxy_pass http://{upstream}; {directives} }}
             }}
         }}\n"
    )
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill(); // It may have ended by itself.
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
            eprintln!("--- nginx's log\n{log}--- end of nginx's log");
        }
    }
}
