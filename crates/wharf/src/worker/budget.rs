//! What an idle connection costs: the sum of everything that one WebSocket client with one channel keeps between
//! messages. ARCHITECTURE.md lists the same sum.

use std::{mem::size_of, sync::Arc};

use bytes::BytesMut;
use wharf_core::{
    hub::Member,
    session::{Session, Subscription},
};
use wharf_proto::{
    device::{
        Profile,
        spec::{CutSpec, FrameSpec, FramingSpec, Junk, LoginSpec, ProfileSpec},
    },
    dialect::DialectId,
    framing::FramingId,
    message::{Channel, ClientInfo},
    websocket::{
        Opcode, WebsocketDeframer,
        deflate::{self, Agreement, Deflater, Inflater, Parameters, WindowBits},
    },
    wire::{DeframeLimits, WireId},
};

use super::{
    compressor::Compressor,
    connection::{Connection, Rare},
    device::Device,
    slab::Slab,
};
use crate::{devices::Place, settings::Compression, transport::tcp::TcpTransport};

/// PRODUCT: an idle connection costs half a kilobyte of user memory.
const BUDGET_BYTES: usize = 512;

/// An idle device, with its names and its two channels. docs/devices.md says so.
const DEVICE_BYTES: usize = 1_024;

/// The allocator's own word, and what rounding up to 16 costs.
fn allocated(bytes: usize) -> usize {
    (bytes + size_of::<usize>()).next_multiple_of(16).max(32)
}

fn parts() -> Vec<(&'static str, usize)> {
    const REFERENCE_COUNTS: usize = 2 * size_of::<usize>();
    vec![
        ("Connection, in its slot of the slab", Slab::<Connection>::SLOT_BYTES),
        ("transport, boxed (TCP)", allocated(size_of::<TcpTransport>())),
        ("deframer, boxed (WebSocket)", allocated(size_of::<WebsocketDeframer>())),
        ("conversation, boxed (Centrifuge JSON keeps nothing)", 0),
        ("outbox (empty: a pointer in the Connection)", 0),
        ("Subscription, in a vector of one", allocated(size_of::<Subscription>())),
        (
            "ClientInfo, shared by all who name the client",
            allocated(size_of::<ClientInfo>() + REFERENCE_COUNTS),
        ),
        ("Member, in the channel's vector", size_of::<Member>()),
        ("presence entry, with the table's byte and its slack", (16 + 1) * 8 / 7),
        ("turn in the timer wheel", size_of::<u32>()),
    ]
}

fn device_profile() -> Arc<Profile> {
    let frame = FrameSpec { pattern: Some("{id}".into()), ..FrameSpec::default() };
    let spec = ProfileSpec {
        framing: FramingSpec {
            cut: CutSpec::Marks { escape: None },
            start: Vec::new(),
            end: b"\n".to_vec(),
            checksum: None,
            max_bytes: 100,
            junk: Junk::Close,
        },
        login: LoginSpec {
            frame,
            id: "id".into(),
            token: None,
            allow: vec!["*".into()],
            seen_in: Vec::new(),
            answer: None,
            refusal: None,
            strict: false,
        },
        heartbeat: None,
        up: Vec::new(),
        down: None,
        request: None,
    };
    Profile::new(&spec).unwrap()
}

/// A device that hears one channel and attends another: its connection, its two memberships, its name.
#[test]
fn an_idle_device_costs_less_than_a_kilobyte() {
    let profile = device_profile();
    let id_bytes = "41060127365".len();
    let text = |bytes: usize| allocated(bytes + 2 * size_of::<usize>());
    let device: usize = [
        allocated(size_of_val(&*profile.deframer())),
        allocated(size_of_val(&*profile.conversation())),
        allocated(size_of::<Rare>()),
        allocated(size_of::<Device>()),
        // Its second membership, in a vector of two.
        allocated(2 * size_of::<Subscription>()) - allocated(size_of::<Subscription>()),
        // Its id: shared by client information and registry, and the conversation's own.
        text(id_bytes) + allocated(id_bytes),
        // The registry's entry, and the second presence.
        (size_of::<(Arc<str>, Place)>() + 1) * 8 / 7 + (16 + 1) * 8 / 7,
    ]
    .iter()
    .sum();
    let in_common: usize =
        parts().iter().filter(|(part, _)| !part.starts_with("deframer")).map(|(_, bytes)| bytes).sum();
    println!(
        "a device {device} beside {in_common}: deframer {}, conversation {}, Rare {}, Device {}",
        size_of_val(&*profile.deframer()),
        size_of_val(&*profile.conversation()),
        size_of::<Rare>(),
        size_of::<Device>()
    );
    assert!(device + in_common <= DEVICE_BYTES, "{device} + {in_common}");
}

/// Row 38, for a connection without takeover: the windows and contexts are the worker's, lent for one message.
#[test]
fn an_idle_connection_that_agreed_on_compression_costs_one_small_box_more() {
    let compressor = Compressor::new(Compression { enabled: true, ..Compression::default() });
    let alone = deflate::Compression { context_takeover: false, window_bits: WindowBits::MAX };
    let wire = WireId::new(DialectId::CentrifugeJson, FramingId::WebsocketDeflate);
    let limits = DeframeLimits::default();
    let agreement = || Some(Agreement::new(Parameters { server: alone, client: alone }));
    let (mut deframer, own) = compressor.open(wire, limits, agreement());
    assert!(own.is_none(), "the worker's deflater does");

    let mut message = BytesMut::new();
    let text = "ahoy ".repeat(10_000);
    Deflater::new(alone).write_frame(&mut message, Opcode::Text, text.as_bytes(), Some([1, 2, 3, 4]));
    deframer.feed(&mut message, &mut |_| {}).unwrap();
    assert_eq!(deframer.held_bytes(), 0);
    assert_eq!(Inflater::new(alone).memory_bytes(), 0);
    assert!(size_of_val(&*deframer) <= 48, "{}", size_of_val(&*deframer));
    assert!(allocated(size_of::<Inflater>()) <= 64, "{}", size_of::<Inflater>());
}

/// What cannot be shared is the connection's own: an agreement with takeover, or on a window that is too small.
#[test]
fn only_an_agreement_that_the_worker_does_not_keep_makes_a_deflater_of_its_own() {
    let compressor = Compressor::new(Compression { enabled: true, ..Compression::default() });
    let wire = WireId::new(DialectId::CentrifugeJson, FramingId::WebsocketDeflate);
    for (context_takeover, bits, own) in [(false, 15, false), (false, 14, true), (true, 15, true)] {
        let window_bits = WindowBits::new(bits).unwrap();
        let side = deflate::Compression { context_takeover, window_bits };
        let agreement = Agreement::new(Parameters { server: side, client: side });
        let (_, deflater) = compressor.open(wire, DeframeLimits::default(), Some(agreement));
        assert_eq!(deflater.is_some(), own, "{context_takeover} {bits}");
    }
}

#[test]
fn an_idle_connection_costs_at_most_half_a_kilobyte() {
    let conversation = WireId::new(DialectId::CentrifugeJson, FramingId::Websocket).dialect().open();
    assert_eq!(size_of_val(&*conversation), 0, "a box of nothing takes no memory");
    let sum: usize = parts().iter().map(|(_, bytes)| bytes).sum();
    let table: String = parts().iter().map(|(part, bytes)| format!("| {part} | {bytes} |\n")).collect();
    println!("{table}| sum | {sum} |");
    println!(
        "Connection {} (of it Session {}), Channel {}, Arc<ClientInfo> {}",
        size_of::<Connection>(),
        size_of::<Session>(),
        size_of::<Channel>(),
        size_of::<Arc<ClientInfo>>()
    );
    assert!(sum <= BUDGET_BYTES, "{sum} bytes:\n{table}");
    assert!(size_of::<Connection>() <= 192, "{}", size_of::<Connection>());
}
