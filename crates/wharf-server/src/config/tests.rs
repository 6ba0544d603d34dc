//! What a configuration comes to, and what each error says.

use std::{ffi::OsString, path::Path};

use wharf::settings::ListenAddress;

use super::*;

/// A directory with files, for the length of a test.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).expect("a file in it");
        }
        Self(directory)
    }

    fn load(&self, flags: &Flags, variables: &[(&str, &str)]) -> Result<Configuration, ConfigError> {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        load(flags, variables, self.0.path())
    }

    /// The error's text, with the directory's name taken off.
    fn error(&self, variables: &[(&str, &str)]) -> String {
        let error = self.load(&Flags::default(), variables).expect_err("an error").to_string();
        error.replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn load_text(text: &str) -> Configuration {
    Directory::new(&[("wharf.toml", text)]).load(&Flags::default(), &[]).expect("a good configuration")
}

fn load_variables(variables: &[(&str, &str)]) -> Configuration {
    Directory::new(&[]).load(&Flags::default(), variables).expect("a good configuration")
}

fn tcp(text: &str) -> ListenAddress {
    ListenAddress::Tcp(text.parse().expect("an address"))
}

#[test]
fn an_error_in_the_file_names_line_key_and_mend() {
    for (text, expected) in [
        ("workers = 2\nlisten = [\n", "wharf.toml:2: listen: unclosed array, expected `]`"),
        ("workers = 2\nworkers = 3\n", "wharf.toml:2: workers: duplicate key"),
        (
            "workers = 2\nlisen = [\"127.0.0.1:1\"]\n",
            "wharf.toml:2: lisen: unknown key; did you mean `listen`?",
        ),
        ("\n[limit]\nmessage_bytes = 1\n", "wharf.toml:2: limit: unknown key; did you mean `limits`?"),
        (
            "[limits]\n\nmesage_bytes = 1000\n",
            "wharf.toml:3: limits.mesage_bytes: unknown key; did you mean `message_bytes`?",
        ),
        ("[api]\nsecret = 1\n", "wharf.toml:2: api.secret: unknown key; known here: `keys`"),
        (
            "[limits]\nmessage_bytes = \"64KB\"\n",
            "wharf.toml:2: limits.message_bytes: found string \"64KB\", expected a whole number from 128 to 67108864",
        ),
        (
            "[limits]\nmessage_bytes = 0\n",
            "wharf.toml:2: limits.message_bytes: found integer 0, expected a whole number from 128 to 67108864",
        ),
        ("workers = -1\n", "wharf.toml:1: workers: found integer -1, expected a whole number from 1 to 1024"),
        (
            "\nworkers = 2.5",
            "wharf.toml:2: workers: found floating point 2.5, expected a whole number from 1 to 1024",
        ),
        (
            "development = \"yes\"\n",
            "wharf.toml:1: development: found string \"yes\", expected true or false",
        ),
        ("node_name = 7\n", "wharf.toml:1: node_name: found integer 7, expected a text in quotes"),
        ("limits = 5\n", "wharf.toml:1: limits: found integer 5, expected a table"),
        (
            "[times]\nping_interval = 25\n",
            "wharf.toml:2: times.ping_interval: found integer 25, expected a duration with its unit (ms, s, m, h or \
             d), such as \"25s\", from 1s to 1d",
        ),
        (
            "[times]\npoll_wait_max = \"61s\"\n",
            "wharf.toml:2: times.poll_wait_max: found string \"61s\", expected a duration with its unit (ms, s, m, h \
             or d), such as \"25s\", from 1s to 1m",
        ),
        (
            "listen = \"8000\"\n",
            "wharf.toml:1: listen: \"8000\" has no address; write \"127.0.0.1:8000\", or \"0.0.0.0:8000\" for every \
             interface",
        ),
        ("listen = []\n", "wharf.toml:1: listen: the list is empty; give at least one address, such as"),
        (
            "listen = [\n  \"127.0.0.1:1\",\n  \"127.0.0.1:1\",\n]\n",
            "wharf.toml:1: listen: 127.0.0.1:1 stands twice; remove one",
        ),
        (
            "[client]\nallowed_origins = [\"https://example.com/\"]\n",
            "wharf.toml:2: client.allowed_origins: an origin ends with its host and port; write \
             \"https://example.com\"",
        ),
        (
            "[client]\nallowed_origins = [\"example.com\"]\n",
            "wharf.toml:2: client.allowed_origins: \"example.com\" has no scheme; write \"https://example.com\"",
        ),
        ("[api]\nkeys = [\"\"]\n", "wharf.toml:2: api.keys: an API key is empty; write a long random text"),
        ("[log]\nlevel = \"inof\"\n", "wharf.toml:2: log.level: unknown word; did you mean `info`?"),
        ("[rpc]\necho = 1\n", "wharf.toml:2: rpc.echo: found integer 1, expected true or false"),
        (
            "[heartbeat.webscoket]\ninterval = \"20s\"\n",
            "wharf.toml:1: heartbeat.webscoket: unknown key; did you mean `websocket`?",
        ),
        (
            "[heartbeat.websocket]\ninterval = 20\n",
            "wharf.toml:2: heartbeat.websocket.interval: found integer 20, expected a duration with its unit",
        ),
        (
            "[[channel.namespaces]]\nname = \"a\"\n\n[[channel.namespaces]]\nname = \"b\"\npresense = true\n",
            "wharf.toml:6: channel.namespaces.presense: unknown key; did you mean `presence`?",
        ),
    ] {
        let error = Directory::new(&[("wharf.toml", text)]).error(&[]);
        assert!(error.starts_with(expected), "{text}\n{error}\nexpected: {expected}");
    }
}

#[test]
fn keys_that_do_not_go_together_are_named_with_their_line() {
    for (text, expected) in [
        (
            "[times]\nping_interval = \"5s\"\n",
            "wharf.toml:2: times.ping_interval: pong_timeout (10s) must be shorter than ping_interval (5s)",
        ),
        (
            "[heartbeat.tcp]\ninterval = \"5s\"\n",
            "wharf.toml:2: heartbeat.tcp.interval: timeout (10s) must be shorter than interval (5s): a ping waits for \
             the last one's pong",
        ),
        (
            "[heartbeat.uni_sse]\ninterval = \"5s\"\ntimeout = \"2s\"\n",
            "wharf.toml:3: heartbeat.uni_sse.timeout: nobody answers a ping on a response that is held open",
        ),
        (
            "[heartbeat]\nping_interval_least = \"1h\"\n",
            "wharf.toml:2: heartbeat.ping_interval_least: ping_interval_least (1h) is more than ping_interval_most (2m)",
        ),
        (
            "[times]\npresence_lease = \"15s\"\n",
            "wharf.toml:2: times.presence_lease: presence_renew (20s) must be shorter than presence_lease (15s)",
        ),
        (
            "[times]\npresence_lease = \"30s\"\n",
            "wharf.toml:2: times.presence_lease: presence_lease (30s) must be at least ping_interval and pong_timeout \
             together (35s)",
        ),
        (
            "[limits]\nmessage_bytes = 2097152\n",
            "wharf.toml:2: limits.message_bytes: message_bytes (2097152) is more than outbox_bytes (1048576)",
        ),
        (
            "[limits]\n\nhttp_uri_bytes = 32768\n",
            "wharf.toml:3: limits.http_uri_bytes: http_uri_bytes (32768) is more than http_head_bytes (16384)",
        ),
        (
            "[compression]\nserver_context_takeover = true\ncompressor_bytes = 1000\n",
            "wharf.toml:3: compression.compressor_bytes: compressor_bytes (1000) holds not even one connection with \
             server_context_takeover, which takes 368640 bytes",
        ),
        (
            "[[channel.namespaces]]\nname = \"a\"\n[[channel.namespaces]]\nname = \"a\"\n",
            "wharf.toml:4: channel.namespaces.1.name: the namespace \"a\" is configured twice; join the two tables",
        ),
        (
            "[[channel.namespaces]]\npresence = true\n",
            "wharf.toml:1: channel.namespaces.0: the namespace has no name; add name = \"chat\"",
        ),
        (
            "[channel.without_namespace]\nname = \"a\"\n",
            "wharf.toml:2: channel.without_namespace.name: these are the channels without a namespace; remove the name",
        ),
        (
            "[[channel.namespaces]]\nname = \"a:b\"\n",
            "wharf.toml:2: channel.namespaces.name: \"a:b\" holds a `:`; write the name without it",
        ),
        (
            "[channel.without_namespace]\nhistory_size = 10\n",
            "wharf.toml:2: channel.without_namespace.history_size: keeps nothing without history_ttl; add history_ttl \
             = \"300s\"",
        ),
        (
            "[[channel.namespaces]]\nname = \"a\"\nhistory_ttl = \"1s\"\n",
            "wharf.toml:3: channel.namespaces.0.history_ttl: keeps nothing without history_size; add history_size = 100",
        ),
        (
            "[channel.without_namespace]\nforce_recovery = true\n",
            "wharf.toml:2: channel.without_namespace.force_recovery: needs history_size = 100 and history_ttl = \
             \"300s\" beside it",
        ),
        (
            "[channel.without_namespace]\nforce_push_join_leave = true\n",
            "wharf.toml:2: channel.without_namespace.force_push_join_leave: needs join_leave = true beside it",
        ),
        (
            "[channel.without_namespace]\nhistory_size = 10\nhistory_ttl = \"1h\"\nhistory_meta_ttl = \"1m\"\n",
            "wharf.toml:4: channel.without_namespace.history_meta_ttl: history_meta_ttl (1m) must be at least \
             history_ttl (1h)",
        ),
        ("[tls]\ncertificate = \"c.pem\"\n", "wharf.toml:2: tls.certificate: a certificate needs its key"),
        ("[tls]\nkey = \"k.pem\"\n", "wharf.toml:2: tls.key: a key needs its certificate"),
        (
            "[tls]\ncertificate = \"absent.pem\"\nkey = \"k.pem\"\n",
            "wharf.toml:2: tls.certificate: absent.pem cannot be read: No such file or directory",
        ),
    ] {
        let error = Directory::new(&[("wharf.toml", text)]).error(&[]);
        assert!(error.starts_with(expected), "{text}\n{error}\nexpected: {expected}");
    }
}

#[test]
fn an_error_in_the_environment_names_the_variable_and_the_mend() {
    for (name, value, expected) in [
        (
            "WHARF_LIMITS__MESAGE_BYTES",
            "1000",
            "limits.mesage_bytes: unknown key; did you mean WHARF_LIMITS__MESSAGE_BYTES?",
        ),
        (
            "WHARF_LIMITS_MESSAGE_BYTES",
            "1000",
            "limits_message_bytes: unknown key; table and key are joined by two underscores: \
             WHARF_LIMITS__MESSAGE_BYTES",
        ),
        (
            "WHARF_LIMIT__MESSAGE_BYTES",
            "1",
            "limit.message_bytes: unknown key; did you mean WHARF_LIMITS__MESSAGE_BYTES?",
        ),
        ("WHARF_API__SECRET", "x", "api.secret: unknown key; known here: WHARF_API__KEYS"),
        ("WHARF_WORKERS", "many", "workers: found string \"many\", expected a whole number from 1 to 1024"),
        ("WHARF_WORKERS", "0", "workers: found integer 0, expected a whole number from 1 to 1024"),
        (
            "WHARF_TIMES__DRAIN",
            "30",
            "times.drain: found integer 30, expected a duration with its unit (ms, s, m, h or d), such as \"25s\", \
             from 0s to 1h",
        ),
        ("WHARF_DEVELOPMENT", "1", "development: found integer 1, expected true or false"),
        ("WHARF_TIMES__PING_INTERVAL", "5s", "times.ping_interval: pong_timeout (10s) must be shorter"),
        (
            "WHARF_CHANNEL__NAMESPACES",
            "[{name = \"a\", presense = true}]",
            "channel.namespaces: unknown key; did you mean `presence`?",
        ),
        ("WHARF_CHANNEL__NAMESPACES", "[{}]", "channel.namespaces.0: the namespace has no name"),
    ] {
        let error = Directory::new(&[]).error(&[(name, value)]);
        let expected = format!("environment variable {name}: {expected}");
        assert!(error.starts_with(&expected), "{error}\nexpected: {expected}");
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "listen = \"127.0.0.1:1\"\nworkers = 1\nnode_name = \"file\"\n[limits]\nmessage_bytes = 1001\n\
                outbox_bytes = 5001\n[log]\nlevel = \"warn\"\n";
    let directory = Directory::new(&[("wharf.toml", file)]);
    let variables =
        [("WHARF_WORKERS", "2"), ("WHARF_LISTEN", "127.0.0.1:2"), ("WHARF_LIMITS__MESSAGE_BYTES", "1002")];
    let flags =
        Flags { listen: vec![tcp("127.0.0.1:3")], log_level: Some(LogLevel::Debug), ..Flags::default() };

    let alone = directory.load(&Flags::default(), &[]).expect("a good file").settings;
    assert_eq!((alone.listen[0].clone(), alone.workers), (tcp("127.0.0.1:1"), 1));
    assert_eq!(alone.limits.message_bytes, 1001);

    let both = directory.load(&Flags::default(), &variables).expect("good variables");
    assert_eq!((both.settings.listen[0].clone(), both.settings.workers), (tcp("127.0.0.1:2"), 2));
    assert_eq!((both.settings.limits.message_bytes, both.settings.limits.outbox_bytes), (1002, 5001));
    assert_eq!(both.log_level, LogLevel::Warn);

    let all = directory.load(&flags, &variables).expect("good flags");
    assert_eq!((all.settings.listen, all.settings.workers), (vec![tcp("127.0.0.1:3")], 2));
    assert_eq!(all.settings.node_name, "file");
    assert_eq!(all.log_level, LogLevel::Debug);
}

#[test]
fn a_variable_may_hold_a_list_a_number_or_a_text_without_quotes() {
    let configuration = load_variables(&[
        ("WHARF_LISTEN", "127.0.0.1:1, unix:/run/w.sock"),
        ("WHARF_API__KEYS", "[\"one\", \"two\"]"),
        ("WHARF_NODE_NAME", "7"),
        ("WHARF_TIMES__DRAIN", "5s"),
        ("WHARF_LOG__FORMAT", "json"),
        ("WHARF_CHANNEL__NAMESPACES", "[{name = \"chat\", presence = true}]"),
    ]);
    let settings = configuration.settings;
    assert_eq!(settings.listen, [tcp("127.0.0.1:1"), ListenAddress::Unix("/run/w.sock".into())]);
    assert_eq!(settings.api_keys, ["one", "two"]);
    assert_eq!((settings.node_name.as_str(), settings.times.drain_ms), ("7", 5_000));
    assert_eq!(configuration.log_format, LogFormat::Json);
    assert!(settings.namespaces.named["chat"].presence);
}

#[test]
fn compression_is_off_until_it_is_switched_on_and_takes_what_it_is_told() {
    assert!(!load_text("").settings.compression.enabled);
    let compression = load_text(
        "[compression]\nenabled = true\nserver_context_takeover = true\nclient_context_takeover = true\n\
         server_window_bits = 11\nclient_window_bits = 9\nmin_deflated_bytes = 0\nlevel = 9\n\
         compressor_bytes = 1000000\n[[channel.namespaces]]\nname = \"bank\"\nuncompressed = true\n",
    );
    assert!(compression.settings.namespaces.named["bank"].uncompressed);
    let compression = compression.settings.compression;
    assert!(
        compression.enabled && compression.server_context_takeover && compression.client_context_takeover
    );
    let windows = (compression.server_window_bits.bits(), compression.client_window_bits.bits());
    assert_eq!(windows, (11, 9));
    assert_eq!((compression.min_deflated_bytes, compression.level), (0, 9));
    assert_eq!(compression.compressor_bytes, 1_000_000);
    let variables = [("WHARF_COMPRESSION__ENABLED", "true"), ("WHARF_COMPRESSION__LEVEL", "6")];
    let compression = load_variables(&variables).settings.compression;
    assert_eq!((compression.enabled, compression.level), (true, 6));
}

#[test]
fn variables_that_are_not_configuration_are_left_alone() {
    let configuration = load_variables(&[
        ("WHARF_SERVICE_HOST", "10.0.0.1"),
        ("WHARF_PORT", "tcp://10.0.0.1:80"),
        ("WHARF_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("WHARF_SERVER", "http://127.0.0.1:8000"),
        ("PATH", "/bin"),
    ]);
    assert!(configuration.variables.is_empty());
}

#[test]
fn without_any_configuration_it_is_development_mode_on_loopback() {
    let settings = load_variables(&[]).settings;
    assert!(settings.development && settings.allow_anonymous_connect && settings.rpc_echo);
    assert_eq!(settings.listen, [tcp("127.0.0.1:8000")]);
    assert_eq!(settings.namespaces.without_namespace, ChannelOptions::DEVELOPMENT);
}

#[test]
fn a_file_turns_development_mode_off_unless_it_asks_for_it() {
    let closed = load_text("").settings;
    assert!(!closed.development && !closed.allow_anonymous_connect && !closed.rpc_echo);
    assert!(!closed.namespaces.without_namespace.allow_subscribe_for_client);
    let open = load_text("development = true\n").settings;
    assert!(open.development && open.allow_anonymous_connect && open.rpc_echo);
    let flags = Flags { development: true, ..Flags::default() };
    let flagged = Directory::new(&[("wharf.toml", "development = false\n")]).load(&flags, &[]).expect("good");
    assert!(flagged.settings.development);
}

#[test]
fn credentials_in_the_environment_turn_development_mode_off() {
    assert!(!load_variables(&[("WHARF_API__KEYS", "k")]).settings.development);
    assert!(!load_variables(&[("WHARF_CLIENT__ALLOWED_ORIGINS", "https://a.example")]).settings.development);
    assert!(load_variables(&[("WHARF_API__KEYS", "k"), ("WHARF_DEVELOPMENT", "true")]).settings.development);
    assert!(load_variables(&[("WHARF_WORKERS", "1")]).settings.development);
}

#[test]
fn development_mode_refuses_to_listen_beyond_loopback_and_says_what_to_set() {
    let directory = Directory::new(&[]);
    let flags = Flags { listen: vec![tcp("127.0.0.1:1"), tcp("0.0.0.0:8000")], ..Flags::default() };
    let error = directory.load(&flags, &[]).expect_err("a refusal").to_string();
    assert!(error.starts_with("--listen: refusing to listen on 0.0.0.0:8000 in development mode"), "{error}");
    for mend in ["WHARF_API__KEYS", "WHARF_CLIENT__ALLOWED_ORIGINS", "--insecure"] {
        assert!(error.contains(mend), "{error}");
    }
    let error = directory.error(&[("WHARF_LISTEN", "[::]:8000")]);
    assert!(error.starts_with("environment variable WHARF_LISTEN: listen: refusing"), "{error}");

    let insecure = Flags { insecure: true, ..flags.clone() };
    assert!(directory.load(&insecure, &[]).expect("an insecure server").settings.development);
    assert!(
        !directory.load(&flags, &[("WHARF_API__KEYS", "k")]).expect("a closed server").settings.development
    );
    let local = ["127.8.9.1:1", "[::1]:1"].map(tcp).into_iter().chain([ListenAddress::Unix("/run/w".into())]);
    let local = Flags { listen: local.collect(), ..Flags::default() };
    assert_eq!(directory.load(&local, &[]).expect("local addresses").settings.listen.len(), 3);
}

#[test]
fn namespaces_carry_their_options_and_start_from_the_mode() {
    let text = "[[channel.namespaces]]\nname = \"chat\"\nhistory_size = 50\nhistory_ttl = \"300s\"\n\
                force_recovery = true\nallow_publish_for_subscriber = true\n";
    let settings = load_text(text).settings;
    let chat = &settings.namespaces.named["chat"];
    assert_eq!((chat.history.size, chat.history.ttl_ms), (50, 300_000));
    assert_eq!(chat.history.meta_ttl_ms, 720 * 3_600_000);
    assert!(chat.force_recovery && chat.allow_publish_for_subscriber && !chat.presence);
    let open = load_text(&format!("development = true\n{text}")).settings;
    assert!(open.namespaces.named["chat"].presence);
}

#[test]
fn options_that_a_default_asks_for_and_that_cannot_be_are_off() {
    let settings = load_text("development = true\n[channel.without_namespace]\nhistory_size = 0\n").settings;
    let options = settings.namespaces.without_namespace;
    assert!(!options.force_recovery && !options.allow_recovery && !options.allow_positioning);
    assert!(options.presence);
}

#[test]
fn tls_files_count_from_the_file_that_names_them_and_must_hold_what_they_should() {
    let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    let good = "[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n";
    let directory = Directory::new(&[("wharf.toml", good), ("c.pem", certificate), ("k.pem", key)]);
    let tls = directory.load(&Flags::default(), &[]).expect("good files").settings.tls.expect("tls");
    assert_eq!(tls.key, directory.0.path().join("k.pem"));

    let swapped = Directory::new(&[("wharf.toml", good), ("c.pem", key), ("k.pem", certificate)]).error(&[]);
    assert!(swapped.starts_with("wharf.toml:2: tls.certificate: c.pem holds no PEM block"), "{swapped}");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let flags = Flags { config: Some("/absent/wharf.toml".into()), ..Flags::default() };
    let error = Directory::new(&[]).load(&flags, &[]).expect_err("an error").to_string();
    assert_eq!(error, "/absent/wharf.toml: there is no such file; give its path with --config");
}

#[test]
fn a_file_past_the_limit_is_refused() {
    let text = "#".repeat(file::CONFIG_FILE_BYTES as usize + 1);
    let error = Directory::new(&[("wharf.toml", &text)]).error(&[]);
    assert!(error.contains("a configuration has at most 1048576"), "{error}");
}

#[test]
fn an_api_key_is_never_shown() {
    let layer = file::FileLayer::parse(Path::new("w.toml"), "[api]\nkeys = [\"hush-hush\"]\n".to_owned());
    let shown = format!("{:?}", layer.expect("a good file").document);
    assert!(!shown.contains("hush"), "{shown}");
    let error = Directory::new(&[("wharf.toml", "[api]\nkeys = [\"hush hush\"]\n")]).error(&[]);
    assert!(error.contains("api.keys") && !error.contains("hush"), "{error}");
}

#[test]
fn websocket_over_http_2_is_on_unless_somebody_says_no() {
    assert!(load_text("workers = 1\n").settings.websocket_over_http2);
    assert!(!load_text("[websocket]\nover_http2 = false\n").settings.websocket_over_http2);
    assert!(!load_variables(&[("WHARF_WEBSOCKET__OVER_HTTP2", "false")]).settings.websocket_over_http2);
    let error = Directory::new(&[("wharf.toml", "[websocket]\nover_http2 = 1\n")]).error(&[]);
    assert_eq!(error, "wharf.toml:2: websocket.over_http2: found integer 1, expected true or false");
}

#[test]
fn paths_are_watched_unless_somebody_says_no_and_their_bounds_must_go_together() {
    let paths = load_text("workers = 1\n").settings.paths;
    assert_eq!((paths.enabled, paths.shortest_ping_ms, paths.longest_ping_ms), (true, 2_000, None));
    let paths = load_text("[paths]\nestimate = false\nlongest_ping = \"5m\"\n").settings.paths;
    assert_eq!((paths.enabled, paths.longest_ping_ms), (false, Some(300_000)));
    let error = |text: &str| Directory::new(&[("wharf.toml", text)]).error(&[]);
    let short = error("[paths]\nshortest_ping = \"30s\"\n");
    assert!(
        short.contains("paths.shortest_ping: shortest_ping (30s) is longer than the longest (25s)"),
        "{short}"
    );
    let long = error("[paths]\nlongest_ping = \"20s\"\n");
    assert!(long.contains("shorter than ping_interval (25s), which everybody begins with"), "{long}");
    // Short pings for all make the default no mistake.
    load_text("[times]\nping_interval = \"1s\"\npong_timeout = \"500ms\"\n");
}
