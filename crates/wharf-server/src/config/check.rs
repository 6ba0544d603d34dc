//! What no single key shows: keys that do not go together, and files that cannot be read.

use std::{collections::HashSet, path::Path};

use wharf::settings::{BEATING, Compression, ListenAddress, PathEstimate, Settings, TlsFiles, UNANSWERED};
use wharf_core::namespace::ChannelOptions;

use super::{
    Layers, device,
    error::{ConfigError, Origin},
    value::{HumanDuration, Text},
};

/// Checks all that spans keys. Options of channels that nobody asked for and that cannot be are switched off.
pub fn check(settings: &mut Settings, layers: &Layers) -> Result<(), ConfigError> {
    check_listen(settings, layers)?;
    check_times(settings, layers)?;
    check_heartbeats(settings, layers)?;
    check_paths(settings, layers)?;
    check_limits(settings, layers)?;
    check_compression(&settings.compression, layers)?;
    settle_options(&mut settings.namespaces.without_namespace, "channel.without_namespace", layers)?;
    check_namespaces(settings, layers)?;
    settings.tls = check_tls(layers)?;
    settings.devices = device::listeners(settings, layers)?.into();
    Ok(())
}

fn fault(layers: &Layers, key: &str, message: impl Into<String>) -> ConfigError {
    ConfigError { origin: layers.origin(key), key: key.to_owned(), message: message.into() }
}

/// The fault of two keys that do not go together, at the one that somebody set.
fn fault_of_two(layers: &Layers, keys: [&str; 2], message: impl Into<String>) -> ConfigError {
    let key = keys.into_iter().find(|key| layers.origin(key) != Origin::Default).unwrap_or(keys[0]);
    fault(layers, key, message)
}

fn check_listen(settings: &Settings, layers: &Layers) -> Result<(), ConfigError> {
    if settings.listen.is_empty() {
        return Err(fault(
            layers,
            "listen",
            "the list is empty; give at least one address, such as \"127.0.0.1:8000\"",
        ));
    }
    let mut seen = HashSet::new();
    for address in &settings.listen {
        let text = match address {
            // Port 0 asks the kernel for a port of its own, so it may come more than once.
            ListenAddress::Tcp(address) if address.port() == 0 => continue,
            ListenAddress::Tcp(address) => address.to_string(),
            ListenAddress::Unix(path) => format!("unix:{}", path.display()),
        };
        if !seen.insert(text.clone()) {
            return Err(fault(layers, "listen", format!("{text} stands twice; remove one")));
        }
    }
    Ok(())
}

fn check_times(settings: &Settings, layers: &Layers) -> Result<(), ConfigError> {
    let times = &settings.times;
    let (ping, pong) = (times.ping_interval_ms, times.pong_timeout_ms);
    if pong >= ping {
        return Err(fault_of_two(
            layers,
            ["times.pong_timeout", "times.ping_interval"],
            format!(
                "pong_timeout ({}) must be shorter than ping_interval ({}): a ping waits for the last one's pong",
                HumanDuration(pong),
                HumanDuration(ping)
            ),
        ));
    }
    let lease = times.presence_lease_ms;
    if times.presence_renew_ms >= lease {
        return Err(fault_of_two(
            layers,
            ["times.presence_renew", "times.presence_lease"],
            format!(
                "presence_renew ({}) must be shorter than presence_lease ({}), or members vanish while they are there",
                HumanDuration(times.presence_renew_ms),
                HumanDuration(lease)
            ),
        ));
    }
    if ping + pong > lease {
        return Err(fault_of_two(
            layers,
            ["times.presence_lease", "times.ping_interval"],
            format!(
                "presence_lease ({}) must be at least ping_interval and pong_timeout together ({}), the time in which a \
                 dead connection is found",
                HumanDuration(lease),
                HumanDuration(ping + pong)
            ),
        ));
    }
    Ok(())
}

fn check_heartbeats(settings: &Settings, layers: &Layers) -> Result<(), ConfigError> {
    let (least, most) =
        (settings.heartbeats.ping_interval_least_ms, settings.heartbeats.ping_interval_most_ms);
    if least > most {
        return Err(fault_of_two(
            layers,
            ["heartbeat.ping_interval_least", "heartbeat.ping_interval_most"],
            format!(
                "ping_interval_least ({}) is more than ping_interval_most ({}); no client could wish anything",
                HumanDuration(least),
                HumanDuration(most)
            ),
        ));
    }
    for kind in BEATING {
        let keys = ["timeout", "interval"].map(|key| format!("heartbeat.{kind}.{key}"));
        let (interval, timeout) = settings.beat_ms(kind);
        if UNANSWERED.contains(&kind) {
            if layers.origin(&keys[0]) != Origin::Default {
                let message = "nobody answers a ping on a response that is held open: a client that is gone is found by \
                               times.tcp_user_timeout after the ping; remove timeout";
                return Err(fault(layers, &keys[0], message));
            }
        } else if timeout >= interval && keys.iter().any(|key| layers.origin(key) != Origin::Default) {
            return Err(fault_of_two(
                layers,
                [&keys[0], &keys[1]],
                format!(
                    "timeout ({}) must be shorter than interval ({}): a ping waits for the last one's pong",
                    HumanDuration(timeout),
                    HumanDuration(interval)
                ),
            ));
        }
    }
    Ok(())
}

/// The bounds between which ping intervals are found.
fn check_paths(settings: &Settings, layers: &Layers) -> Result<(), ConfigError> {
    let (paths, times) = (&settings.paths, &settings.times);
    let longest = paths.longest_ping_ms.unwrap_or(times.ping_interval_ms);
    let longest_key =
        if paths.longest_ping_ms.is_some() { "paths.longest_ping" } else { "times.ping_interval" };
    // Nobody is bothered about a default: the shortest interval then is the longest.
    let is_said = paths.shortest_ping_ms != PathEstimate::default().shortest_ping_ms;
    if is_said && paths.shortest_ping_ms > longest {
        return Err(fault_of_two(
            layers,
            ["paths.shortest_ping", longest_key],
            format!(
                "shortest_ping ({}) is longer than the longest ({}); make it shorter",
                HumanDuration(paths.shortest_ping_ms),
                HumanDuration(longest)
            ),
        ));
    }
    if longest < times.ping_interval_ms {
        return Err(fault_of_two(
            layers,
            ["paths.longest_ping", "times.ping_interval"],
            format!(
                "longest_ping ({}) is shorter than ping_interval ({}), which everybody begins with",
                HumanDuration(longest),
                HumanDuration(times.ping_interval_ms)
            ),
        ));
    }
    Ok(())
}

fn check_limits(settings: &Settings, layers: &Layers) -> Result<(), ConfigError> {
    let limits = &settings.limits;
    for (small, small_value, large, large_value, why) in [
        (
            "message_bytes",
            limits.message_bytes,
            "outbox_bytes",
            limits.outbox_bytes,
            "a message must fit an outbox",
        ),
        (
            "outbox_bytes",
            limits.outbox_bytes,
            "outbox_total_bytes",
            limits.outbox_total_bytes,
            "one outbox must fit the budget of all",
        ),
        (
            "http_uri_bytes",
            limits.http_uri_bytes,
            "http_head_bytes",
            limits.http_head_bytes,
            "the head holds the URI",
        ),
    ] {
        if small_value > large_value {
            return Err(fault_of_two(
                layers,
                [&format!("limits.{small}"), &format!("limits.{large}")],
                format!("{small} ({small_value}) is more than {large} ({large_value}); {why}"),
            ));
        }
    }
    Ok(())
}

/// A takeover that no connection could ever have is a mistake.
fn check_compression(compression: &Compression, layers: &Layers) -> Result<(), ConfigError> {
    let needed = compression.context_bytes();
    if needed > compression.compressor_bytes {
        let takeover = match compression.server_context_takeover {
            true => "server_context_takeover",
            false => "client_context_takeover",
        };
        return Err(fault_of_two(
            layers,
            ["compression.compressor_bytes", &format!("compression.{takeover}")],
            format!(
                "compressor_bytes ({}) holds not even one connection with {takeover}, which takes {needed} bytes; raise \
                 the one or switch off the other",
                compression.compressor_bytes
            ),
        ));
    }
    Ok(())
}

fn check_namespaces(settings: &mut Settings, layers: &Layers) -> Result<(), ConfigError> {
    let misplaced = "channel.without_namespace.name";
    if layers.origin(misplaced) != Origin::Default {
        return Err(fault(layers, misplaced, "these are the channels without a namespace; remove the name"));
    }
    let Some(tables) =
        layers.documents().filter_map(|document| document.channel.namespaces.as_ref()).next_back()
    else {
        return Ok(());
    };
    let mut seen = HashSet::new();
    for (index, table) in tables.iter().enumerate() {
        let prefix = format!("channel.namespaces.{index}");
        let Some(Text(name)) = &table.name else {
            return Err(fault(layers, &prefix, "the namespace has no name; add name = \"chat\""));
        };
        if !seen.insert(&name.0) {
            let message = format!("the namespace {:?} is configured twice; join the two tables", name.0);
            return Err(fault(layers, &format!("{prefix}.name"), message));
        }
        if let Some(options) = settings.namespaces.named.get_mut(&name.0) {
            settle_options(options, &prefix, layers)?;
        }
    }
    Ok(())
}

/// Options that need a history or joins: an error where somebody asked for them, off where a default did.
fn settle_options(options: &mut ChannelOptions, prefix: &str, layers: &Layers) -> Result<(), ConfigError> {
    let key = |name: &str| format!("{prefix}.{name}");
    let asked = |name: &str| layers.origin(&key(name)) != Origin::Default;
    let history = options.history;
    for (name, on, missing, example) in [
        ("history_size", history.size > 0 && history.ttl_ms == 0, "history_ttl", "\"300s\""),
        ("history_ttl", history.ttl_ms > 0 && history.size == 0, "history_size", "100"),
    ] {
        if on && asked(name) && !asked(missing) {
            let message = format!("keeps nothing without {missing}; add {missing} = {example}");
            return Err(fault(layers, &key(name), message));
        }
    }
    if history.keeps_history() && history.meta_ttl_ms < history.ttl_ms {
        return Err(fault_of_two(
            layers,
            [&key("history_meta_ttl"), &key("history_ttl")],
            format!(
                "history_meta_ttl ({}) must be at least history_ttl ({}): positions are kept longer than publications",
                HumanDuration(history.meta_ttl_ms),
                HumanDuration(history.ttl_ms)
            ),
        ));
    }
    let (keeps, joins) = (history.keeps_history(), options.join_leave);
    for (name, switch, possible, mend) in [
        (
            "force_recovery",
            &mut options.force_recovery,
            keeps,
            "history_size = 100 and history_ttl = \"300s\"",
        ),
        (
            "allow_recovery",
            &mut options.allow_recovery,
            keeps,
            "history_size = 100 and history_ttl = \"300s\"",
        ),
        (
            "force_positioning",
            &mut options.force_positioning,
            keeps,
            "history_size = 100 and history_ttl = \"300s\"",
        ),
        (
            "allow_positioning",
            &mut options.allow_positioning,
            keeps,
            "history_size = 100 and history_ttl = \"300s\"",
        ),
        ("force_push_join_leave", &mut options.force_push_join_leave, joins, "join_leave = true"),
    ] {
        if *switch && !possible {
            if asked(name) {
                return Err(fault(layers, &key(name), format!("needs {mend} beside it")));
            }
            *switch = false;
        }
    }
    Ok(())
}

fn check_tls(layers: &Layers) -> Result<Option<TlsFiles>, ConfigError> {
    let certificate = layers.path("tls.certificate", |document| document.tls.certificate.as_deref());
    let key = layers.path("tls.key", |document| document.tls.key.as_deref());
    match (certificate, key) {
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(fault(layers, "tls.certificate", "a certificate needs its key; add key = \"key.pem\""))
        }
        (None, Some(_)) => Err(fault(
            layers,
            "tls.key",
            "a key needs its certificate; add certificate = \"certificate.pem\"",
        )),
        (Some(certificate), Some(key)) => {
            check_pem(layers, "tls.certificate", &certificate, "CERTIFICATE-----")?;
            check_pem(layers, "tls.key", &key, "PRIVATE KEY-----")?;
            Ok(Some(TlsFiles { certificate, key }))
        }
    }
}

/// Whether the file can be read and holds what it should; whether the two belong together shows at the start.
pub(super) fn check_pem(layers: &Layers, key: &str, path: &Path, marker: &str) -> Result<(), ConfigError> {
    let text = std::fs::read(path)
        .map_err(|error| fault(layers, key, format!("{} cannot be read: {error}", path.display())))?;
    let holds = text
        .split(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"-----BEGIN ") && line.trim_ascii_end().ends_with(marker.as_bytes()));
    if !holds {
        let message = format!("{} holds no PEM block `-----BEGIN ... {marker}`", path.display());
        return Err(fault(layers, key, message));
    }
    Ok(())
}
