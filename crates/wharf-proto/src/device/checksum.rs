//! Checksums as devices write them. The names and check values of the CRCs are those of the catalogue of parametrised
//! CRC algorithms (reveng.sourceforge.io).

/// A kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// The sum of the bytes, modulo 256.
    Sum8,
    /// All bytes, exclusive or (NMEA 0183, JT/T 808).
    Xor8,
    /// CRC-16/ARC.
    Crc16Arc,
    /// CRC-16/MODBUS.
    Crc16Modbus,
    /// CRC-16/IBM-3740, widely called CCITT-FALSE.
    Crc16CcittFalse,
    /// CRC-16/IBM-SDLC, widely called X-25: HDLC, PPP, and what GT06 calls CRC-ITU.
    Crc16X25,
    /// CRC-16/XMODEM.
    Crc16Xmodem,
    /// CRC-16/KERMIT.
    Crc16Kermit,
    /// CRC-32/ISO-HDLC: Ethernet, zip.
    Crc32,
}

/// What a CRC is made of: the polynomial as its algorithm shifts (reversed where it is reflected), the first and the
/// last value.
struct Crc {
    bits: u32,
    polynomial: u32,
    initial: u32,
    reflected: bool,
    last_xor: u32,
}

impl Crc {
    fn of(&self, bytes: impl Iterator<Item = u8>) -> u32 {
        let top = 1 << (self.bits - 1);
        let mut crc = self.initial;
        for byte in bytes {
            if self.reflected {
                crc ^= u32::from(byte);
                for _ in 0..8 {
                    crc = crc >> 1 ^ if crc & 1 == 1 { self.polynomial } else { 0 };
                }
            } else {
                crc ^= u32::from(byte) << (self.bits - 8);
                for _ in 0..8 {
                    crc = crc << 1 ^ if crc & top == top { self.polynomial } else { 0 };
                }
            }
        }
        let mask = u32::MAX >> (32 - self.bits);
        (crc ^ self.last_xor) & mask
    }
}

impl Checksum {
    /// Each kind with the name that a configuration knows it by.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("sum8", Self::Sum8),
        ("xor8", Self::Xor8),
        ("crc16-arc", Self::Crc16Arc),
        ("crc16-modbus", Self::Crc16Modbus),
        ("crc16-ccitt-false", Self::Crc16CcittFalse),
        ("crc16-x25", Self::Crc16X25),
        ("crc16-xmodem", Self::Crc16Xmodem),
        ("crc16-kermit", Self::Crc16Kermit),
        ("crc32", Self::Crc32),
    ];

    /// The name that a configuration knows it by.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, kind)| *kind == self);
        found.map_or("", |(name, _)| name) // All of them stand there; a test holds that.
    }

    /// How many bytes its value takes in binary.
    pub fn width(self) -> usize {
        match self {
            Self::Sum8 | Self::Xor8 => 1,
            Self::Crc32 => 4,
            _ => 2,
        }
    }

    /// The checksum of these bytes.
    pub fn of(self, bytes: impl IntoIterator<Item = u8>) -> u32 {
        let bytes = bytes.into_iter();
        let crc16 = |polynomial, initial, reflected, last_xor| Crc {
            bits: 16,
            polynomial,
            initial,
            reflected,
            last_xor,
        };
        match self {
            Self::Sum8 => u32::from(bytes.fold(0_u8, u8::wrapping_add)),
            Self::Xor8 => u32::from(bytes.fold(0_u8, |sum, byte| sum ^ byte)),
            Self::Crc16Arc => crc16(0xa001, 0, true, 0).of(bytes),
            Self::Crc16Modbus => crc16(0xa001, 0xffff, true, 0).of(bytes),
            Self::Crc16CcittFalse => crc16(0x1021, 0xffff, false, 0).of(bytes),
            Self::Crc16X25 => crc16(0x8408, 0xffff, true, 0xffff).of(bytes),
            Self::Crc16Xmodem => crc16(0x1021, 0, false, 0).of(bytes),
            Self::Crc16Kermit => crc16(0x8408, 0, true, 0).of(bytes),
            Self::Crc32 => {
                let (polynomial, ones) = (0xedb8_8320, u32::MAX);
                Crc { bits: 32, polynomial, initial: ones, reflected: true, last_xor: ones }.of(bytes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_published_check_value() {
        // The value of the ASCII digits 1 to 9, from the catalogue.
        for (kind, value) in [
            (Checksum::Sum8, 0xdd),
            (Checksum::Xor8, 0x31),
            (Checksum::Crc16Arc, 0xbb3d),
            (Checksum::Crc16Modbus, 0x4b37),
            (Checksum::Crc16CcittFalse, 0x29b1),
            (Checksum::Crc16X25, 0x906e),
            (Checksum::Crc16Xmodem, 0x31c3),
            (Checksum::Crc16Kermit, 0x2189),
            (Checksum::Crc32, 0xcbf4_3926),
        ] {
            assert_eq!(kind.of(*b"123456789"), value, "{kind:?}");
        }
    }

    #[test]
    fn real_frames_bear_these_checksums() {
        // A login of a GT06 tracker, from its protocol's document: the CRC is over length to serial number.
        let login = [0x0d, 0x01, 0x01, 0x23, 0x45, 0x67, 0x89, 0x01, 0x23, 0x45, 0x00, 0x01];
        assert_eq!(Checksum::Crc16X25.of(login), 0x8cdd);
        // The example sentence of NMEA 0183.
        let sentence = b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,";
        assert_eq!(Checksum::Xor8.of(*sentence), 0x47);
    }

    #[test]
    fn every_kind_has_a_name() {
        for (name, kind) in Checksum::NAMES {
            assert_eq!(kind.name(), name);
            assert!(kind.of([]) <= u32::MAX >> (32 - 8 * kind.width()));
        }
    }
}
