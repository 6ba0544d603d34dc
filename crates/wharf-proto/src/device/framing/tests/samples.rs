//! Frames of real protocols, from their documents.

use super::*;

#[test]
fn a_login_of_a_gt06_tracker() {
    let frame = b"\x78\x78\x0d\x01\x01\x23\x45\x67\x89\x01\x23\x45\x00\x01\x8c\xdd\x0d\x0a";
    let message = b"\x01\x01\x23\x45\x67\x89\x01\x23\x45\x00\x01".to_vec();
    assert_eq!(messages(&gt06(), frame), std::slice::from_ref(&message));
    assert_eq!(framed(&framing(&gt06()), &message), frame);
    // The server's answer.
    assert_eq!(framed(&framing(&gt06()), b"\x01\x00\x01"), b"\x78\x78\x05\x01\x00\x01\xd9\xdc\x0d\x0a");
}

#[test]
fn a_sentence_of_nmea_0183() {
    let sentence = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n";
    let message = sentence[1..sentence.len() - 5].to_vec();
    assert_eq!(messages(&nmea(), sentence), std::slice::from_ref(&message));
    assert_eq!(framed(&framing(&nmea()), &message), sentence);
    let other = sentence.to_ascii_lowercase();
    let widened = FramingSpec { junk: Junk::Skip { limit: 100 }, ..nmea() };
    assert_eq!(messages(&widened, &other).len(), 0, "other letters have another checksum");
    // The value is 7a.
    for (digits, count) in [(&b"$WIND,B*7a\r\n"[..], 1), (b"$WIND,B*7A\r\n", 1), (b"$WIND,B*7b\r\n", 0)] {
        assert_eq!(messages(&nmea(), digits).len(), count, "{digits:?}");
    }
}

#[test]
fn a_request_of_modbus_rtu_in_frames_of_one_size() {
    let checksum = Some(sum(Checksum::Crc16Modbus, ChecksumForm::Binary(Endian::Little)));
    let rtu = FramingSpec { checksum, ..spec(CutSpec::Fixed { bytes: 6 }, b"", b"") };
    let frame = b"\x11\x03\x00\x6b\x00\x03\x76\x87";
    assert_eq!(messages(&rtu, frame), [frame[..6].to_vec()]);
    assert_eq!(framed(&framing(&rtu), &frame[..6]), frame);
}

#[test]
fn a_frame_with_an_lrc_behind_its_end() {
    let frame = b"\x02AB12\x03\x03";
    assert_eq!(Checksum::Xor8.of(*b"AB12\x03"), 0x03);
    assert_eq!(messages(&stx_etx_lrc(), frame), [b"AB12".to_vec()]);
    assert_eq!(framed(&framing(&stx_etx_lrc()), b"AB12"), frame);
}
