//! Just enough of DER (X.690) to read OCSP: elements of definite length, one after the other.

/// The tag of an element: class, form and number in one byte; longer ones are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u8);

impl Tag {
    pub(super) const INTEGER: Self = Self(0x02);
    pub(super) const BIT_STRING: Self = Self(0x03);
    pub(super) const OCTET_STRING: Self = Self(0x04);
    pub(super) const OBJECT: Self = Self(0x06);
    pub(super) const ENUMERATED: Self = Self(0x0a);
    pub(super) const TIME: Self = Self(0x18);
    pub(super) const SEQUENCE: Self = Self(0x30);

    /// `[number]` around another element, or in place of the tag of a constructed one.
    pub(super) const fn context(number: u8) -> Self {
        Self(0xa0 | number)
    }

    /// `[number]` in place of the tag of a primitive element.
    pub(super) const fn primitive(number: u8) -> Self {
        Self(0x80 | number)
    }
}

/// What is left of some elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a>(pub(super) &'a [u8]);

impl<'a> Elements<'a> {
    /// The next element: its tag, what is in it, and all of its bytes.
    pub(super) fn any(&mut self) -> Option<(Tag, &'a [u8], &'a [u8])> {
        let whole = self.0;
        let (&tag, rest) = whole.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        (tag & 0x1f != 0x1f).then_some((Tag(tag), content, &whole[..whole.len() - rest.len()]))
    }

    /// What is in the next element, which has this tag.
    pub(super) fn take(&mut self, tag: Tag) -> Option<&'a [u8]> {
        self.any().filter(|(found, ..)| *found == tag).map(|(_, content, _)| content)
    }

    /// The elements in the next one, which has this tag.
    pub(super) fn inside(&mut self, tag: Tag) -> Option<Elements<'a>> {
        self.take(tag).map(Elements)
    }

    /// What is in the next element, if that has this tag.
    pub(super) fn optional(&mut self, tag: Tag) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let content = ahead.take(tag)?;
        *self = ahead;
        Some(content)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An element.
pub(super) fn element(tag: Tag, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag.0];
    let big = length.to_be_bytes();
    match length {
        0..=0x7f => bytes.push(big[big.len() - 1]),
        _ => {
            let significant = &big[length.leading_zeros() as usize / 8..];
            bytes.push(0x80 | u8::try_from(significant.len()).unwrap_or_default());
            bytes.extend_from_slice(significant);
        }
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; length];
            let whole = element(Tag::OCTET_STRING, &[&content, &[]]);
            let mut elements = Elements(&whole);
            assert_eq!(elements.take(Tag::OCTET_STRING), Some(&content[..]), "{length}");
            assert!(elements.is_empty());
            assert!(Elements(&whole[..whole.len() - 1]).any().is_none());
        }
    }

    #[test]
    fn lengths_that_nobody_needs_are_refused() {
        for bytes in [&[0x30, 0x80, 0, 0][..], &[0x30, 0x84, 0, 0, 0, 0], &[0x1f, 0x81, 0], &[0x30], &[]] {
            assert!(Elements(bytes).any().is_none(), "{bytes:?}");
        }
    }
}
