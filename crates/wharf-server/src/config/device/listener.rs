//! Checks what spans the keys of a device, and makes its listener.

use std::{collections::HashSet, path::PathBuf};

use wharf::settings::{
    ClientCertificates, DEVICE_CONNECTIONS, DeviceAddress, DeviceListener, DeviceTls, Settings, TlsFiles,
};
use wharf_proto::device::{Profile, ProfileError};

use super::{
    spec,
    table::{DeviceTable, Second, TlsTable},
};
use crate::config::{Layers, check::check_pem, error::ConfigError};

/// The most kinds of devices. LIMITS.md, `MOST_DEVICES`.
const MOST_DEVICES: usize = 256;

/// The listeners of all `[[device]]` tables; those of a stronger layer replace a weaker one's.
pub fn listeners(settings: &Settings, layers: &Layers) -> Result<Vec<DeviceListener>, ConfigError> {
    let Some(tables) = layers.documents().filter_map(|document| document.device.as_ref()).next_back() else {
        return Ok(Vec::new());
    };
    if tables.len() > MOST_DEVICES {
        return Err(fault(
            layers,
            "device",
            format!("{} kinds are too many; at most {MOST_DEVICES}", tables.len()),
        ));
    }
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    let mut listeners = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let key = |name: &str| format!("device.{index}.{name}");
        if !names.insert(&*table.name.0.0) {
            let message = format!("{:?} names two kinds of devices; give one another name", table.name.0.0);
            return Err(fault(layers, &key("name"), message));
        }
        for address in &table.listen.0 {
            let text = spell_device(&address.0);
            if !text.ends_with(":0") && !addresses.insert(text.clone()) {
                return Err(fault(layers, &key("listen"), format!("{text} stands twice; remove one")));
            }
        }
        listeners.push(listener(table, index, settings, layers)?);
    }
    Ok(listeners)
}

fn listener(
    table: &DeviceTable,
    index: usize,
    settings: &Settings,
    layers: &Layers,
) -> Result<DeviceListener, ConfigError> {
    let key = |name: &str| format!("device.{index}.{name}");
    let profile = spec::profile(table)
        .and_then(|spec| Profile::new(&spec))
        .map_err(|error| profile_fault(layers, table, index, &error))?;
    let listen: Vec<DeviceAddress> = table.listen.0.iter().map(|address| address.0.clone()).collect();
    if listen.is_empty() {
        return Err(fault(
            layers,
            &key("listen"),
            "the list is empty; give at least one address, such as \"tcp://0.0.0.0:7000\"",
        ));
    }
    for address in &listen {
        let is_datagram = matches!(address, DeviceAddress::Udp(_));
        if is_datagram != profile.framing().is_datagram() {
            let message = match is_datagram {
                true => {
                    "over UDP each datagram is taken by itself; write kind = \"datagram\" in [device.framing], and `end` if it holds several frames"
                }
                false => {
                    "kind = \"datagram\" is for udp:// addresses; a stream needs marks, a length or a fixed size"
                }
            };
            return Err(fault(layers, &key("framing.kind"), message));
        }
    }
    let needs_tls = listen.iter().any(|address| matches!(address, DeviceAddress::Tls(_)));
    Ok(DeviceListener {
        name: table.name.0.0.clone(),
        profile,
        listen,
        replaces: table.second != Some(Second::Refuse),
        tls: tls(table.tls.as_ref(), needs_tls, index, settings, layers)?,
        connections: table.connections.map_or(DEVICE_CONNECTIONS, |count| count.0 as usize),
    })
}

fn tls(
    table: Option<&TlsTable>,
    is_needed: bool,
    index: usize,
    settings: &Settings,
    layers: &Layers,
) -> Result<Option<DeviceTls>, ConfigError> {
    let key = |name: &str| format!("device.{index}.tls.{name}");
    let wrong = |name: &str, message: &str| Err(fault(layers, &key(name), message));
    if !is_needed {
        return match table {
            Some(_) => Err(fault(
                layers,
                &format!("device.{index}.tls"),
                "is for tls:// addresses, and `listen` has none",
            )),
            None => Ok(None),
        };
    }
    let default = TlsTable::default();
    let table = table.unwrap_or(&default);
    let path = |name: &str, text: &str| -> PathBuf { layers.resolve(&key(name), text) };
    let files = match (&table.certificate, &table.key) {
        (Some(certificate), Some(private)) => {
            let files = TlsFiles { certificate: path("certificate", certificate), key: path("key", private) };
            check_pem(layers, &key("certificate"), &files.certificate, "CERTIFICATE-----")?;
            check_pem(layers, &key("key"), &files.key, "PRIVATE KEY-----")?;
            files
        }
        (Some(_), None) => return wrong("certificate", "a certificate needs its key; add key = \"key.pem\""),
        (None, Some(_)) => {
            return wrong("key", "a key needs its certificate; add certificate = \"certificate.pem\"");
        }
        (None, None) => match &settings.tls {
            Some(files) => files.clone(),
            None => {
                let message = "tls:// addresses need a certificate; add [device.tls] with certificate and key, or [tls]";
                return Err(fault(layers, &format!("device.{index}.listen"), message));
            }
        },
    };
    let clients = match &table.authority {
        Some(authority) => {
            let authority = path("authority", authority);
            check_pem(layers, &key("authority"), &authority, "CERTIFICATE-----")?;
            Some(ClientCertificates { authority, name_is_device: table.name_is_device })
        }
        None if table.name_is_device => {
            return wrong(
                "name_is_device",
                "needs the authority that has signed the devices' certificates; add authority = \"ca.pem\"",
            );
        }
        None => None,
    };
    Ok(Some(DeviceTls { files, clients }))
}

/// A fault of a description, at the line where it was written.
fn profile_fault(layers: &Layers, table: &DeviceTable, index: usize, error: &ProfileError) -> ConfigError {
    let mut key = error.key.replace('[', ".").replace(']', "");
    // `template` is the last of the messages.
    if let Some(down) = table.down.as_ref().filter(|down| down.template.is_some()) {
        let last = format!("down.messages.{}.template", down.messages.len());
        if key == last {
            key = "down.template".to_owned();
        }
    }
    fault(layers, &format!("device.{index}.{key}"), error.message.clone())
}

/// A fault of a key, which may be missing.
fn fault(layers: &Layers, key: &str, message: impl Into<String>) -> ConfigError {
    ConfigError { origin: layers.origin_near(key), key: key.to_owned(), message: message.into() }
}

/// The address as it is written in a configuration.
pub fn spell_device(address: &DeviceAddress) -> String {
    match address {
        DeviceAddress::Tcp(address) => format!("tcp://{address}"),
        DeviceAddress::Tls(address) => format!("tls://{address}"),
        DeviceAddress::Udp(address) => format!("udp://{address}"),
        DeviceAddress::Unix(path) => format!("unix:{}", path.display()),
    }
}
