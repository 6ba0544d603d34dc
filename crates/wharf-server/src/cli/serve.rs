//! `wharf serve`: starts the server and says what to type next.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use wharf::{
    server::{Server, Signals},
    settings::{DeviceAddress, ListenAddress},
};

use super::{check::spell, log};
use crate::config::Configuration;

/// Serves until a signal ends it.
pub fn run(configuration: Configuration) -> anyhow::Result<()> {
    log::start(configuration.log_format, configuration.log_level);
    if configuration.settings.development {
        tracing::warn!(
            "DEVELOPMENT MODE: every client may connect, subscribe, publish and read, and the API needs no key. \
             To serve others, write a configuration and look at it with `wharf check`."
        );
    }
    let signals = Signals::install()?;
    let server = wharf::server::serve(configuration.settings)?;
    let mut text = device_announcement(&server);
    text.push_str(&announcement(server.addresses()));
    std::io::stdout().write_all(text.as_bytes())?;
    std::io::stdout().flush()?;
    server.run_until(signals);
    Ok(())
}

/// One line for each address of devices, in a form that programs can wait for.
fn device_announcement(server: &Server) -> String {
    let mut text = String::new();
    for (listener, address) in server.device_addresses() {
        let name = &server.node().settings.devices[usize::from(*listener)].name;
        let _ = writeln!(text, "wharf: devices of {name} on {}", spell_device(address));
    }
    text
}

/// An address as the configuration spells it.
fn spell_device(address: &DeviceAddress) -> String {
    match address {
        DeviceAddress::Tcp(address) => format!("tcp://{address}"),
        DeviceAddress::Tls(address) => format!("tls://{address}"),
        DeviceAddress::Udp(address) => format!("udp://{address}"),
        DeviceAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// One line for each address, in a form that programs can wait for, then what a person may type next.
fn announcement(addresses: &[ListenAddress]) -> String {
    let mut text = String::new();
    for address in addresses {
        let _ = writeln!(text, "wharf: listening on {}", spell(address));
    }
    text.push_str(&next_steps(addresses));
    text
}

/// Commands that can be copied, for the first TCP address and the first Unix path.
fn next_steps(addresses: &[ListenAddress]) -> String {
    let mut text = String::from("\nType next, in another terminal:\n\n");
    let tcp = addresses.iter().find_map(|address| match address {
        ListenAddress::Tcp(address) => Some(reachable(*address)),
        ListenAddress::Unix(_) => None,
    });
    let unix = addresses.iter().find_map(|address| match address {
        ListenAddress::Unix(path) => Some(path.display()),
        ListenAddress::Tcp(_) => None,
    });
    // `cat` keeps the connection open for whatever is typed.
    let hello = r#"(printf '%s\n' '{"id":1,"connect":{}}' '{"id":2,"subscribe":{"channel":"news"}}'; cat)"#;
    match (tcp, &unix) {
        (Some(address), _) => {
            let port = address.port();
            let host = address.ip();
            let _ = write!(
                text,
                "  wharf subscribe news --server http://{address}\n\
                 \x20 wharf publish news '\"hello\"' --server http://{address}\n\
                 \x20 curl -N 'http://{address}/events?channel=news'\n\
                 \x20 {hello} | nc {host} {port}\n"
            );
        }
        (None, Some(path)) => {
            let _ = write!(
                text,
                "  wharf subscribe news --server unix:{path}\n\
                 \x20 curl -N --unix-socket {path} 'http://localhost/events?channel=news'\n\
                 \x20 {hello} | nc -U {path}\n"
            );
        }
        (None, None) => {}
    }
    text
}

/// An address that listens everywhere is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> ListenAddress {
        ListenAddress::Tcp(text.parse().expect("an address"))
    }

    #[test]
    fn each_address_has_a_line_that_programs_can_wait_for() {
        let text = announcement(&[tcp("127.0.0.1:8000"), ListenAddress::Unix("/run/w.sock".into())]);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("wharf: listening on 127.0.0.1:8000"));
        assert_eq!(lines.next(), Some("wharf: listening on unix:/run/w.sock"));
    }

    #[test]
    fn an_address_of_devices_is_spelt_as_in_the_configuration() {
        let address = "127.0.0.1:7000".parse().expect("an address");
        assert_eq!(spell_device(&DeviceAddress::Udp(address)), "udp://127.0.0.1:7000");
        assert_eq!(spell_device(&DeviceAddress::Tls(address)), "tls://127.0.0.1:7000");
        assert_eq!(spell_device(&DeviceAddress::Unix("/run/d.sock".into())), "unix:/run/d.sock");
    }

    #[test]
    fn the_commands_to_type_next_hold_the_actual_address() {
        let text = announcement(&[tcp("0.0.0.0:9123")]);
        assert!(text.contains("curl -N 'http://127.0.0.1:9123/events?channel=news'"), "{text}");
        assert!(text.contains("| nc 127.0.0.1 9123"), "{text}");
        let text = announcement(&[ListenAddress::Unix("/run/w.sock".into())]);
        assert!(text.contains("--unix-socket /run/w.sock") && text.contains("nc -U /run/w.sock"), "{text}");
    }
}
