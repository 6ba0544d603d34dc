//! Descriptions of three kinds of devices, for the tests of this folder.

use super::{
    Profile,
    checksum::Checksum,
    spec::{
        BadChecksum, ChecksumForm, ChecksumSpec, Counts, CutSpec, DownSpec, Endian, FieldKind, FieldSpec,
        FrameSpec, FramingSpec, HeartbeatSpec, Junk, LengthSpec, LoginSpec, MessageSpec, ProfileSpec,
        Publish, RequestSpec, TemplateSpec, UpSpec,
    },
};

pub(super) fn text(text: &str) -> TemplateSpec {
    TemplateSpec::Text(text.into())
}

pub(super) fn digits(digits: &str) -> TemplateSpec {
    TemplateSpec::Hex(digits.into())
}

fn pattern(text: &str) -> FrameSpec {
    FrameSpec { pattern: Some(text.into()), ..FrameSpec::default() }
}

pub(super) fn field(name: &str, at: i64, bytes: usize, kind: FieldKind) -> FieldSpec {
    FieldSpec {
        name: name.into(),
        at,
        bytes: Some(bytes),
        leave: 0,
        kind,
        bits: None,
        times: None,
        divided_by: None,
        decimals: None,
        trim: None,
    }
}

const BIG: FieldKind = FieldKind::Unsigned(Endian::Big);

/// Frames that begin with this byte, with their serial number.
fn numbered(kind: u8, fields: Vec<FieldSpec>) -> FrameSpec {
    let mut fields = fields;
    fields.push(field("_serial", -2, 2, BIG));
    FrameSpec { bytes: vec![(0, vec![kind])], fields, ..FrameSpec::default() }
}

fn up(frame: FrameSpec) -> UpSpec {
    UpSpec {
        frame,
        channel: "devices/{id}/up".into(),
        publish: Publish::Fields,
        with: Vec::new(),
        answer: None,
        error: None,
    }
}

fn login(frame: FrameSpec) -> LoginSpec {
    LoginSpec {
        frame,
        id: "id".into(),
        token: None,
        allow: vec!["*".into()],
        seen_in: Vec::new(),
        answer: None,
        refusal: None,
        strict: false,
    }
}

/// `*HQ,...#`: every frame names the device.
pub(super) fn ascii_tracker() -> ProfileSpec {
    ProfileSpec {
        framing: FramingSpec {
            cut: CutSpec::Marks { escape: None },
            start: b"*".to_vec(),
            end: b"#".to_vec(),
            checksum: None,
            max_bytes: 256,
            junk: Junk::Skip { limit: 256 },
        },
        login: LoginSpec {
            allow: vec!["41*".into()],
            seen_in: vec!["trackers".into()],
            refusal: Some(text("HQ,{id},NO")),
            ..login(pattern("HQ,{id:digits},{_}"))
        },
        heartbeat: Some(HeartbeatSpec {
            frame: Some(pattern("HQ,{_},HTBT,{battery:number}")),
            answer: Some(text("HQ,{id},HTBT")),
            send: Some(text("HQ,{id},PING,{seq}")),
            interval_ms: 60_000,
            misses: 2,
            only: false,
        }),
        up: vec![UpSpec {
            with: vec![("type".into(), "position".into())],
            answer: Some(text("HQ,{id},V4,V1,{time}")),
            error: Some(text("HQ,{id},V4,ERROR,{time}")),
            ..up(pattern("HQ,{_},V1,{time},{valid},{lat:degrees},{ns},{speed:number}"))
        }],
        down: Some(DownSpec {
            channel: "devices/{id}/down".into(),
            messages: vec![
                MessageSpec {
                    when: Some(("command".into(), "interval".into())),
                    template: text("HQ,{id},S71,{now:%H%M%S},{data.seconds:04}"),
                },
                MessageSpec { when: None, template: text("HQ,{id},{data}") },
            ],
        }),
        request: None,
    }
}

/// `78 78 length ... serial crc 0d 0a`: logs in first.
pub(super) fn binary_tracker() -> ProfileSpec {
    let id = FieldSpec { trim: Some('0'), ..field("id", 1, 8, FieldKind::Bcd) };
    let answered = |kind: &str| Some(digits(&format!("{kind} {{_serial:u16be}}")));
    ProfileSpec {
        framing: FramingSpec {
            cut: CutSpec::Length(LengthSpec {
                at: 2,
                bytes: 1,
                endian: Endian::Big,
                counts: Counts::Message,
                plus: 2,
            }),
            start: b"\x78\x78".to_vec(),
            end: b"\r\n".to_vec(),
            checksum: Some(ChecksumSpec {
                kind: Checksum::Crc16X25,
                skip: None,
                leave: 0,
                form: ChecksumForm::Binary(Endian::Big),
                before: Vec::new(),
                behind_end: false,
                bad: BadChecksum::Drop,
            }),
            max_bytes: 200,
            junk: Junk::Skip { limit: 256 },
        },
        login: LoginSpec { answer: answered("01"), ..login(numbered(1, vec![id])) },
        heartbeat: Some(HeartbeatSpec {
            frame: Some(numbered(0x13, Vec::new())),
            answer: answered("13"),
            send: None,
            interval_ms: 180_000,
            misses: 1,
            only: true,
        }),
        up: vec![up(numbered(0x12, vec![field("time", 1, 6, FieldKind::Time6), field("speed", 7, 1, BIG)]))],
        down: None,
        request: Some(RequestSpec {
            template: digits("80 0a {seq:u32be} {data} 00 01"),
            answer: FrameSpec {
                bytes: vec![(0, vec![0x15])],
                fields: vec![
                    field("seq", 2, 4, BIG),
                    FieldSpec { bytes: None, leave: 2, ..field("text", 6, 1, FieldKind::Text) },
                ],
                ..FrameSpec::default()
            },
            seq: Some("seq".into()),
            seq_bits: 32,
            publish: Publish::Fields,
        }),
    }
}

pub(super) fn profile(spec: &ProfileSpec) -> std::sync::Arc<Profile> {
    Profile::new(spec).unwrap()
}
