//! As much of DER (ITU-T X.690) as public keys and certificates need.

/// An ASN.1 SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;

/// Elements that follow one another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Tag and content of the next element; `None` at the end, or where there is no DER.
    pub(crate) fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // 0x80 is a length yet unknown, which is no DER; longer ones than four octets are no certificate's.
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (octets.iter().fold(0, |length, &octet| length << 8 | usize::from(octet)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, if it has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.element()?;
        if found != tag {
            return None;
        }
        *self = ahead;
        Some(content)
    }

    /// What is in the next element, if that is a SEQUENCE.
    pub(crate) fn sequence(&mut self) -> Option<Self> {
        self.take(SEQUENCE).map(Self)
    }

    /// The next element as a number that is not negative, big-endian, without leading zeros.
    pub(crate) fn unsigned(&mut self) -> Option<&'a [u8]> {
        let content = self.take(INTEGER)?;
        let zeros = content.iter().take_while(|&&octet| octet == 0).count();
        content.get(zeros..)
    }

    /// The octets of the next element, if that is a BIT STRING of whole octets.
    pub(crate) fn bits(&mut self) -> Option<&'a [u8]> {
        self.take(BIT_STRING)?.strip_prefix(&[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_in_order_and_a_wrong_tag_takes_nothing() {
        let mut reader = Reader::new(&[0x02, 0x02, 0x00, 0x81, 0x03, 0x02, 0x00, 0xff]);
        assert_eq!(reader.take(SEQUENCE), None);
        assert_eq!(reader.unsigned(), Some([0x81].as_slice()));
        assert_eq!(reader.bits(), Some([0xff].as_slice()));
        assert_eq!(reader.element(), None);
    }

    #[test]
    fn what_is_cut_off_or_of_no_certain_length_is_nothing() {
        for input in [[0x30].as_slice(), &[0x30, 0x02, 0x00], &[0x30, 0x82, 0x01], &[0x30, 0x80, 0x00, 0x00]]
        {
            assert_eq!(Reader::new(input).element(), None, "{input:?}");
        }
    }
}
