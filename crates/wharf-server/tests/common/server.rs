//! A `wharf` process of a test's own, on ports that the system chose.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    PATIENCE,
    certificate::Certificate,
    client::{Client, Lines},
    http,
    network::Namespace,
    socket::Address,
    websocket::WebSocket,
};

/// What the server prints for each address, before the address.
const READY: &str = "wharf: listening on ";
/// How many addresses one server may announce.
const MAX_ADDRESSES: usize = 16;

/// The key that the server API is asked with. Development mode asks for none.
const API_KEY: &str = "of-the-tests";
/// A configuration in which everybody may do everything, as in development mode.
const OPEN: &str = "
[api]
keys = [\"of-the-tests\"]
[client]
anonymous = true
[channel.without_namespace]
presence = true
join_leave = true
history_size = 10000
history_ttl = \"10m\"
force_recovery = true
allow_positioning = true
allow_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
allow_presence_for_client = true
allow_presence_for_anonymous = true
allow_history_for_client = true
allow_history_for_anonymous = true
[[channel.namespaces]]
name = \"brief\"
history_size = 5
history_ttl = \"10m\"
force_recovery = true
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
[rpc]
echo = true
";

/// A running server, which ends with this value. If the test panics its log is printed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addresses: Vec<Address>,
    log: Arc<Mutex<String>>,
    /// Holds the configuration and Unix paths.
    folder: tempfile::TempDir,
}

/// How a server is started.
#[derive(Debug)]
pub struct Setup {
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    listens: Vec<String>,
    configuration: Option<String>,
    descriptors: Option<u32>,
    /// The namespace in which it runs, by name.
    namespace: Option<String>,
    folder: tempfile::TempDir,
}

impl Setup {
    /// Development mode, on a TCP port of its own.
    pub fn new() -> Self {
        Self {
            arguments: Vec::new(),
            variables: Vec::new(),
            listens: vec!["127.0.0.1:0".into()],
            configuration: None,
            descriptors: None,
            namespace: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Listens on a Unix path as well.
    pub fn unix(mut self) -> Self {
        let path = self.folder.path().join("wharf.sock");
        self.listens.push(format!("unix:{}", path.display()));
        self
    }

    /// Listens on one more TCP port.
    pub fn another_port(mut self) -> Self {
        self.listens.push("127.0.0.1:0".into());
        self
    }

    /// Serves TLS as well, on every TCP address.
    pub fn tls(self, certificate: &Certificate) -> Self {
        self.variable("WHARF_TLS__CERTIFICATE", &certificate.path().to_string_lossy())
            .variable("WHARF_TLS__KEY", &certificate.key_path().to_string_lossy())
    }

    /// Adds a line of command-line arguments.
    pub fn arguments(mut self, line: &str) -> Self {
        self.arguments.extend(line.split_whitespace().map(str::to_owned));
        self
    }

    /// Sets a variable such as `WHARF_TIMES__PING_INTERVAL`.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Pings so often that a test can wait for several.
    pub fn quick_pings(self) -> Self {
        self.variable("WHARF_TIMES__PING_INTERVAL", "2s").variable("WHARF_TIMES__PONG_TIMEOUT", "1900ms")
    }

    /// Starts with a configuration file, which turns development mode off.
    pub fn configuration(mut self, toml: &str) -> Self {
        self.configuration = Some(toml.into());
        self
    }

    /// Adds tables to the configuration file.
    pub fn more_configuration(mut self, toml: &str) -> Self {
        self.configuration.get_or_insert_default().push_str(toml);
        self
    }

    /// Gives the server no more than so many descriptors.
    pub fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// Runs in a network namespace and listens there, outside of development mode, in which it keeps to loopback. It
    /// is asked from outside by a Unix path.
    pub fn within(mut self, namespace: &Namespace, address: &str) -> Self {
        self.namespace = Some(namespace.name().to_owned());
        self.listens = vec![address.to_owned()];
        self.unix().configuration(OPEN)
    }

    /// Starts the server and waits until it listens on every address.
    #[track_caller]
    pub fn start(self) -> Server {
        let binary = env!("CARGO_BIN_EXE_wharf");
        let mut command = match (&self.namespace, self.descriptors) {
            (None, None) => Command::new(binary),
            (Some(namespace), _) => {
                // It becomes the server, whose process number is then the child's.
                let mut enter = Command::new("ip");
                enter.args(["netns", "exec", namespace, binary]);
                enter
            }
            (None, Some(limit)) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\""), binary]);
                shell
            }
        };
        command.arg("serve").args(&self.arguments);
        for listen in &self.listens {
            command.args(["--listen", listen]);
        }
        if let Some(toml) = &self.configuration {
            let path = self.folder.path().join("wharf.toml");
            fs::write(&path, toml).expect("the configuration is written");
            command.arg("--config").arg(path);
        }
        // What the person who runs the tests has set for servers of their own does not concern this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("WHARF_") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary was built for this test");

        let log = Arc::new(Mutex::new(String::new()));
        let (announce, announced) = mpsc::sync_channel(MAX_ADDRESSES);
        drain(child.stdout.take().expect("it is piped"), Arc::clone(&log), Some(announce));
        drain(child.stderr.take().expect("it is piped"), Arc::clone(&log), None);
        let mut server = Server { child, addresses: Vec::new(), log, folder: self.folder };
        for _ in &self.listens {
            match announced.recv_timeout(PATIENCE) {
                Ok(address) => server.addresses.push(Address::parse(&address)),
                Err(_) => panic!("the server did not say `{READY}...` for each of {:?}", self.listens),
            }
        }
        server
    }
}

/// Reads one of the server's outputs to its end, so that the server never waits for us.
fn drain(
    output: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    announce: Option<mpsc::SyncSender<String>>,
) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let (Some(announce), Some(address)) = (&announce, line.strip_prefix(READY)) {
                let _ = announce.try_send(address.trim().to_owned());
            }
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.push_str(&line);
            log.push('\n');
        }
    });
}

impl Server {
    /// In development mode.
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    /// The TCP address.
    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    /// The Unix path, for a server set up with [`Setup::unix`].
    pub fn unix(&self) -> &Address {
        &self.addresses[1]
    }

    /// Every address, in the order in which they were asked for.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Where the devices of this listener connect, as the server has announced it: `tcp`, `tls`, `udp` or `unix`, and
    /// the address or path.
    #[track_caller]
    pub fn devices(&self, listener: &str) -> (String, String) {
        let log = self.log();
        let start = format!("wharf: devices of {listener} on ");
        let found = log.lines().find_map(|line| line.strip_prefix(&start));
        let found = found.unwrap_or_else(|| panic!("no line `{start}...`"));
        let (scheme, address) = found.split_once(':').expect("a scheme");
        (scheme.to_owned(), address.trim_start_matches("//").to_owned())
    }

    /// The TCP address as the beginning of a URL.
    pub fn url(&self) -> String {
        match self.address() {
            Address::Tcp(address) => format!("http://{address}"),
            other => panic!("{other:?} has no URL"),
        }
    }

    /// The process's number, to look at it in `/proc`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A file that is gone with the server.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the server has printed so far, standard output and log.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a signal by its name, such as `TERM`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot send the signal {name}");
    }

    /// Waits for the process's end.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        let mut ended = None;
        super::eventually("the server ends", deadline - Instant::now(), || {
            ended = self.child.try_wait().expect("it is our child");
            ended.is_some()
        });
        ended.expect("waited until it ended")
    }

    /// Where the server API and the metrics are asked: by the Unix path, which faults of a network do not touch, if
    /// there is one.
    pub fn control(&self) -> &Address {
        let unix = self.addresses.iter().find(|address| matches!(address, Address::Unix(_)));
        unix.unwrap_or(self.address())
    }

    /// Asks the server API; the value of `result`.
    #[track_caller]
    pub fn api(&self, method: &str, parameters: &serde_json::Value) -> serde_json::Value {
        let headers = [("Content-Type", "application/json"), ("X-API-Key", API_KEY)];
        let path = format!("/api/{method}");
        let response = http::request(self.control(), "POST", &path, &headers, &parameters.to_string());
        assert_eq!(response.status, 200, "/api/{method}: {}", response.text());
        let mut reply = response.json();
        assert!(reply.get("error").is_none(), "/api/{method}: {reply}");
        reply["result"].take()
    }

    /// A client over WebSocket, not connected yet in the protocol's sense.
    #[track_caller]
    pub fn websocket(&self) -> Client<WebSocket> {
        Client::new(WebSocket::open(self.address(), "/connection/websocket"))
    }

    /// A client that speaks JSON lines over TCP.
    #[track_caller]
    pub fn lines(&self) -> Client<Lines> {
        Client::new(Lines::open(self.address()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the server's output\n{}--- end of the server's output", self.log());
        }
    }
}
