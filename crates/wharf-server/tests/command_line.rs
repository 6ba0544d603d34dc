//! The command as a person meets it: arguments in; output, errors and exit code out.

use std::process::{Command, Output};

/// A `wharf` that sees no configuration but its arguments.
fn wharf(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WHARF_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    wharf(arguments).output().expect("wharf runs")
}

fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An address on which nobody listens: it was free a moment ago.
fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

#[test]
fn check_names_the_line_and_the_key_and_fails() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("mine.toml");
    std::fs::write(&file, "workers = 1\n[limits]\nmesage_bytes = 5\n").expect("a file");
    let output = run(&["check", "--config", &file.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "wharf: {}:3: limits.mesage_bytes: unknown key; did you mean `message_bytes`?\n",
        file.display()
    );
    assert_eq!(error_text(&output), expected);
}

#[test]
fn check_takes_the_file_of_the_working_directory_and_the_environment_over_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("wharf.toml"), "listen = \"127.0.0.1:7001\"\nworkers = 3\n")
        .expect("a file");
    let mut command = wharf(&["check", "--workers", "5"]);
    let output =
        command.current_dir(&directory).env("WHARF_LISTEN", "127.0.0.1:7002").output().expect("wharf runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success());
    for words in
        ["wharf.toml is good. The environment adds WHARF_LISTEN.", "listens on  127.0.0.1:7002", "workers  5"]
    {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn serve_refuses_to_open_development_mode_to_the_network() {
    for arguments in [&["--listen", "0.0.0.0:0"][..], &["serve", "--listen", "0.0.0.0:0"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(1));
        let text = error_text(&output);
        assert!(
            text.starts_with("wharf: --listen: refusing to listen on 0.0.0.0:0")
                && text.contains("--insecure")
        );
    }
}

#[test]
fn a_server_that_is_not_there_is_told_with_what_starts_one() {
    let address = free_address();
    for (arguments, scheme) in [
        (&["publish", "news", "1", "--server"][..], "http"),
        (&["subscribe", "news", "--server"], "http"),
        (&["subscribe", "news", "--transport", "long-poll", "--server"], "http"),
        (&["subscribe", "news", "--server"], "tcp"),
        (&["connect"], "ws"),
    ] {
        let url = format!("{scheme}://{address}");
        let output = run(&[arguments, &[url.as_str()]].concat());
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let text = error_text(&output);
        assert!(text.starts_with(&format!("wharf: no server at {address} (")), "{arguments:?}: {text}");
        assert!(text.ends_with("start one with `wharf`\n"), "{arguments:?}: {text}");
    }
    let output = run(&["subscribe", "news", "--server", "unix:/absent/wharf.sock"]);
    assert!(error_text(&output).starts_with("wharf: no server at unix:/absent/wharf.sock ("));
}

#[test]
fn data_that_is_not_json_is_shown_as_the_shell_wants_it() {
    let output = run(&["publish", "news", "hello"]);
    assert_eq!(output.status.code(), Some(1));
    let text = error_text(&output);
    assert!(
        text.contains("the data is not JSON") && text.ends_with("wharf publish news '\"hello\"'\n"),
        "{text}"
    );
}

#[test]
fn an_argument_that_cannot_be_is_refused_with_its_name() {
    for (arguments, words) in [
        (&["--listen", "8000"][..], "write \"127.0.0.1:8000\""),
        (&["subscribe", "news", "--server", "wss://h"], "use ws://h"),
        (&["subscribe", "news", "--since", "x"], "write OFFSET, or OFFSET:EPOCH"),
        (&["subscribe"], "<CHANNEL>"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(error_text(&output).contains(words), "{arguments:?}: {}", error_text(&output));
    }
}
