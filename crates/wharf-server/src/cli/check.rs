//! `wharf check`: what a configuration means, in words.

mod sample;

use std::{fmt::Write as _, io::Write as _};

use wharf::settings::{BEATING, Compression, ListenAddress, Settings, UNANSWERED};
use wharf_core::namespace::ChannelOptions;

use crate::config::{Configuration, document::switches_on, value::HumanDuration};

/// What is to be checked.
#[derive(Debug, clap::Args)]
pub struct Flags {
    #[command(flatten)]
    server: super::ServerFlags,
    #[command(flatten)]
    sample: sample::SampleFlags,
}

/// Prints what the configuration means, or what sample bytes mean in it. That it is good was found when it was read.
pub fn run(flags: Flags) -> anyhow::Result<()> {
    let configuration = flags.server.load()?;
    if flags.sample.device.is_some() {
        return sample::run(&flags.sample, &configuration);
    }
    std::io::stdout().write_all(explain(&configuration).as_bytes())?;
    Ok(())
}

/// The address as it is written in a configuration and on the command line.
pub fn spell(address: &ListenAddress) -> String {
    match address {
        ListenAddress::Tcp(address) => address.to_string(),
        ListenAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn explain(configuration: &Configuration) -> String {
    let settings = &configuration.settings;
    let mut text = match &configuration.file {
        Some(file) => format!("{} is good.", file.display()),
        None => "There is no configuration file.".to_owned(),
    };
    if !configuration.variables.is_empty() {
        let _ = write!(text, " The environment adds {}.", configuration.variables.join(", "));
    }
    text.push_str("\n\n");
    for (what, words) in [
        ("listens on", settings.listen.iter().map(spell).collect::<Vec<_>>().join(", ")),
        ("workers", workers(settings)),
        ("mode", mode(settings)),
        ("TLS", tls(settings)),
        ("server API", api(settings)),
        ("clients", clients(settings)),
        ("browsers", browsers(settings)),
        ("WebSocket", websocket(settings)),
        ("channels", channels("", &settings.namespaces.without_namespace)),
    ] {
        let _ = writeln!(text, "{what:>12}  {words}");
    }
    let mut named: Vec<_> = settings.namespaces.named.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    for (name, options) in &named {
        let _ = writeln!(text, "{:>12}  {}", "", channels(&format!("{name}: "), options));
    }
    let rest = if named.is_empty() {
        "any prefix: is served like the channels above"
    } else {
        "a channel of any other prefix: is error 102"
    };
    let _ = writeln!(text, "{:>12}  {rest}", "");
    let _ = writeln!(text, "{:>12}  {}", "messages", limits(settings));
    let _ = writeln!(text, "{:>12}  {}", "compression", compression(&settings.compression));
    let _ = writeln!(text, "{:>12}  {}", "heartbeat", heartbeat(settings));
    let _ = writeln!(text, "{:>12}  {}", "paths", paths(settings));
    for device in &*settings.devices {
        text.push_str(&sample::explain(device));
    }
    for warning in warnings(settings) {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    text
}

fn workers(settings: &Settings) -> String {
    let sends = match settings.batched_sends {
        true => "write to many connections in one system call where the kernel has io_uring",
        false => "write to each connection by a system call of its own",
    };
    format!("{}; they {sends}", settings.workers)
}

fn mode(settings: &Settings) -> String {
    match settings.development {
        true => "development: every client may do everything, and only this machine's web pages may come"
            .to_owned(),
        false => "closed but for what is configured".to_owned(),
    }
}

fn tls(settings: &Settings) -> String {
    match &settings.tls {
        Some(files) => format!("certificate {}, beside plain text", files.certificate.display()),
        None => "none; plain text only".to_owned(),
    }
}

fn api(settings: &Settings) -> String {
    match (settings.api_keys.len(), settings.development) {
        (0, true) => "open, without a key".to_owned(),
        (0, false) => "closed: no key is configured".to_owned(),
        (1, _) => "one key".to_owned(),
        (keys, _) => format!("{keys} keys, any of which is enough"),
    }
}

fn clients(settings: &Settings) -> String {
    match settings.allow_anonymous_connect {
        true => "connect without a token".to_owned(),
        false => "cannot connect without a token".to_owned(),
    }
}

fn browsers(settings: &Settings) -> String {
    let local = if settings.development { "pages of localhost" } else { "no page" };
    match settings.allowed_origins.as_slice() {
        [] => format!("{local} may come; native clients send no origin and may"),
        origins => format!("pages of {} may come", origins.join(", ")),
    }
}

fn websocket(settings: &Settings) -> String {
    match settings.websocket_over_http2 {
        true => {
            "over HTTP/1.1, and over HTTP/2 for clients that have such a connection (RFC 8441)".to_owned()
        }
        false => "over HTTP/1.1 only".to_owned(),
    }
}

/// What a kind of channel offers. `whose` is its prefix, empty for channels without one.
fn channels(whose: &str, options: &ChannelOptions) -> String {
    let history = options.history;
    let past = if history.keeps_history() {
        format!("keeps {} publications for {}", history.size, HumanDuration(history.ttl_ms))
    } else {
        "keeps no history".to_owned()
    };
    let name = if whose.is_empty() { "without a namespace: " } else { whose };
    match switches_on(options).as_slice() {
        [] => format!("{name}{past}; no option is on"),
        on => format!("{name}{past}; {}", on.join(", ")),
    }
}

fn limits(settings: &Settings) -> String {
    let limits = &settings.limits;
    format!(
        "of at most {} bytes; a client that lets more than {} bytes wait is closed as slow",
        limits.message_bytes, limits.outbox_bytes
    )
}

fn compression(compression: &Compression) -> String {
    if !compression.enabled {
        return "off".to_owned();
    }
    let remembered = match (compression.server_context_takeover, compression.client_context_takeover) {
        (false, false) => "no connection remembers its messages".to_owned(),
        (server, client) => {
            let whose = match (server, client) {
                (true, true) => "both sides remember their messages",
                (true, false) => "the server remembers its messages",
                _ => "clients remember their messages",
            };
            format!("{whose}, in at most {} bytes for all connections", compression.compressor_bytes)
        }
    };
    format!(
        "of WebSocket messages from {} bytes on, at level {}; {remembered}",
        compression.min_deflated_bytes, compression.level
    )
}

fn heartbeat(settings: &Settings) -> String {
    let times = &settings.times;
    let mut words = format!(
        "a ping every {}, a pong within {}",
        HumanDuration(times.ping_interval_ms),
        HumanDuration(times.pong_timeout_ms)
    );
    for kind in BEATING {
        let (interval, timeout) = settings.beat_ms(kind);
        let same = interval == times.ping_interval_ms && timeout == times.pong_timeout_ms;
        if UNANSWERED.contains(&kind) {
            if interval != times.ping_interval_ms {
                let _ = write!(words, "; {kind}: every {}", HumanDuration(interval));
            }
        } else if !same {
            let _ =
                write!(words, "; {kind}: every {} and {}", HumanDuration(interval), HumanDuration(timeout));
        }
    }
    let namespaces = &settings.namespaces;
    let mut named: Vec<_> = namespaces.named.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    for (name, options) in named {
        if options.ping_interval_ms > 0 {
            let interval = HumanDuration(options.ping_interval_ms.into());
            let _ = write!(words, "; members of {name}: at least every {interval}");
        }
    }
    let _ = write!(
        words,
        "; clients may wish {} to {}; a member that is not heard of is gone after {}",
        HumanDuration(settings.heartbeats.ping_interval_least_ms),
        HumanDuration(settings.heartbeats.ping_interval_most_ms),
        HumanDuration(times.presence_lease_ms)
    );
    words
}

fn paths(settings: &Settings) -> String {
    let (paths, usual) = (&settings.paths, settings.times.ping_interval_ms);
    if !paths.enabled {
        return "everybody is pinged as often, whatever forgets idle connections on the way".to_owned();
    }
    let longest = paths.longest_ping_ms.unwrap_or(usual);
    format!(
        "pings from every {} to every {}, by what kills idle connections on the way",
        HumanDuration(paths.shortest_ping_ms),
        HumanDuration(longest)
    )
}

/// What can be meant, but seldom is.
fn warnings(settings: &Settings) -> Vec<&'static str> {
    let mut warnings = Vec::new();
    let kinds =
        || std::iter::once(&settings.namespaces.without_namespace).chain(settings.namespaces.named.values());
    if !settings.allow_anonymous_connect {
        warnings.push(
            "no client can connect: this version checks no tokens, and anonymous clients may not; set anonymous = true \
             in [client]",
        );
    } else if !kinds()
        .any(|options| options.allow_subscribe_for_client && options.allow_subscribe_for_anonymous)
    {
        warnings.push(
            "clients can connect, but subscribe to nothing; set allow_subscribe_for_client = true and \
             allow_subscribe_for_anonymous = true for a kind of channel",
        );
    }
    if !settings.compression.enabled && settings.compression != Compression::default() {
        warnings.push("nothing is compressed, although it is said how; set enabled = true in [compression]");
    }
    if settings.api_keys.is_empty() && !settings.development {
        warnings.push("the server API is closed; set keys = [\"...\"] in [api]");
    }
    if settings.allowed_origins.iter().any(|origin| origin == "*") {
        warnings
            .push("allowed_origins holds \"*\": any web page may use this server with its visitor's cookies");
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, load};

    fn explained(text: &str) -> String {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("wharf.toml"), text).expect("a file in it");
        explain(&load(&Flags::default(), [], directory.path()).expect("a good configuration"))
    }

    #[test]
    fn says_what_a_configuration_means() {
        let text = explained(
            "listen = [\"127.0.0.1:9000\", \"unix:/run/w.sock\"]\n[api]\nkeys = [\"k\"]\n[client]\nanonymous = true\n\
             [[channel.namespaces]]\nname = \"chat\"\nhistory_size = 10\nhistory_ttl = \"5m\"\npresence = true\n\
             allow_subscribe_for_client = true\nallow_subscribe_for_anonymous = true\n",
        );
        for words in [
            "wharf.toml is good.",
            "listens on  127.0.0.1:9000, unix:/run/w.sock",
            "server API  one key",
            "chat: keeps 10 publications for 5m; presence, allow_subscribe_for_client",
            "any other prefix: is error 102",
            "WebSocket  over HTTP/1.1, and over HTTP/2",
        ] {
            assert!(text.contains(words), "{words}\n{text}");
        }
        let without = explained("[websocket]\nover_http2 = false\n");
        assert!(without.contains("WebSocket  over HTTP/1.1 only"), "{without}");
        assert!(!text.contains("warning"), "{text}");
    }

    #[test]
    fn warns_of_a_server_that_nobody_can_use() {
        let text = explained("");
        assert!(
            text.contains("warning: no client can connect")
                && text.contains("warning: the server API is closed")
        );
        let text = explained("[client]\nanonymous = true\nallowed_origins = [\"*\"]\n");
        assert!(text.contains("subscribe to nothing") && text.contains("any web page may use"), "{text}");
    }

    #[test]
    fn says_whether_and_how_messages_are_compressed() {
        assert!(explained("").contains("compression  off\n"));
        let text = explained("[compression]\nenabled = true\n");
        assert!(text.contains("from 128 bytes on, at level 1; no connection remembers"), "{text}");
        let text = explained(
            "[compression]\nenabled = true\nserver_context_takeover = true\ncompressor_bytes = 1000000\n",
        );
        assert!(text.contains("the server remembers its messages, in at most 1000000 bytes"), "{text}");
        let text = explained("[compression]\nlevel = 9\n");
        assert!(text.contains("warning: nothing is compressed"), "{text}");
    }

    #[test]
    fn says_how_often_whom_is_pinged() {
        let text = explained("");
        assert!(
            text.contains("a ping every 25s, a pong within 10s; clients may wish 5s to 2m; a member"),
            "{text}"
        );
        let text = explained(
            "[heartbeat.tcp]\ninterval = \"1m\"\n[times]\nevents_comment = \"15s\"\n\
             [[channel.namespaces]]\nname = \"chat\"\nping_interval = \"15s\"\n",
        );
        let words = "within 10s; tcp: every 1m and 10s; events: every 15s; members of chat: at least every 15s; clients";
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn development_mode_has_nothing_to_warn_of() {
        let text = explained("development = true\n");
        assert!(
            text.contains("development: every client may do everything") && !text.contains("warning"),
            "{text}"
        );
    }
}
