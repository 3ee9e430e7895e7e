//! Snapshots on disk: two files with the configuration, the newest and the one before, and a folder with the code of
//! modules by digest. Nothing of it is believed without its checksum.
//!
//! ```text
//! sandgate-snapshot <format> <bytes> <SHA-256 of "<format>\n" and all that follows>
//! {"version":…,"cluster":…,"written_at":…,"values":{…},"code":[digests]}
//! ["<collection>","<id>",{entity}]
//! …
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use super::image::Image;
use crate::store::Version;

const MAGIC: &str = "sandgate-snapshot";
/// Raised with each change that an older gateway would misread.
const FORMAT: u32 = 1;

const NEWEST: &str = "newest.snapshot";
const BEFORE: &str = "before.snapshot";
const CODE: &str = "code";

/// Why a snapshot is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it is no snapshot")]
    Foreign,
    #[error("it has format {0}, and this gateway reads format {FORMAT}")]
    Format(String),
    #[error("it has {found} bytes of {expected}")]
    Truncated { found: usize, expected: usize },
    #[error("its checksum does not match")]
    Checksum,
    #[error("it cannot be parsed")]
    Content(#[from] serde_json::Error),
    #[error("the code of the module {0} is not there or not what it was")]
    Code(String),
    #[error("it cannot be read")]
    Io(#[from] io::Error),
}

/// What a snapshot says of itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) version: Version,
    pub(super) cluster: String,
    /// Unix seconds.
    written_at: u64,
    values: BTreeMap<String, String>,
    code: BTreeSet<String>,
}

impl Header {
    pub(super) fn written(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.written_at)
    }
}

/// The folder of snapshots. Its calls block.
#[derive(Debug, Clone)]
pub(super) struct Disk(PathBuf);

impl Disk {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The newest snapshot that is whole. Each one that is not is said in the log with its reason.
    pub(super) fn load(&self) -> Option<(Header, Image)> {
        [NEWEST, BEFORE].into_iter().find_map(|name| {
            let file = self.0.join(name);
            match self.read(&file) {
                Ok(read) => Some(read),
                Err(Refusal::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
                Err(reason) => {
                    let reason = with_source(&reason);
                    tracing::error!(file = %file.display(), reason, "a snapshot on disk is refused");
                    None
                }
            }
        })
    }

    /// What the newest snapshot says of itself, believed only for a word in the log.
    pub(super) fn newest_header(&self) -> Option<Header> {
        header(&self.0.join(NEWEST))
    }

    /// Whether the newest snapshot would be used.
    pub(super) fn is_whole(&self) -> bool {
        self.read(&self.0.join(NEWEST)).is_ok()
    }

    /// Puts a snapshot in the place of the newest, which becomes the one before if that is told.
    pub(super) fn write(&self, image: &Image, rotate: Rotate) -> io::Result<()> {
        self.prepare()?;
        let bytes = encode(image)?;
        let (newest, before, aside) = (self.0.join(NEWEST), self.0.join(BEFORE), self.0.join("next"));
        write_synced(&aside, &bytes)?;
        if rotate == Rotate::Yes && newest.exists() {
            fs::rename(&newest, &before)?;
        }
        fs::rename(&aside, &newest)?;
        File::open(&self.0)?.sync_all()?;
        self.collect(image);
        Ok(())
    }

    /// Keeps the code of a module.
    pub(super) fn put_code(&self, digest: &str, bytes: &[u8]) -> io::Result<()> {
        self.prepare()?;
        let (file, aside) = (self.code_file(digest)?, self.0.join(CODE).join("next"));
        write_synced(&aside, bytes)?;
        fs::rename(aside, file)?;
        File::open(self.0.join(CODE))?.sync_all()
    }

    /// The code of a module, if it is there and is what it was.
    pub(super) fn code(&self, digest: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.code_file(digest).ok()?).ok()?;
        (hex(&bytes) == digest).then_some(bytes)
    }

    fn code_file(&self, digest: &str) -> io::Result<PathBuf> {
        match digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(self.0.join(CODE).join(digest)),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a digest")),
        }
    }

    fn prepare(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.0.join(CODE))
    }

    fn read(&self, file: &Path) -> Result<(Header, Image), Refusal> {
        let bytes = fs::read(file)?;
        let (header, image) = decode(&bytes)?;
        match header.code.iter().find(|digest| self.code(digest).is_none()) {
            Some(digest) => Err(Refusal::Code(digest.clone())),
            None => Ok((header, image)),
        }
    }

    /// Removes code that neither snapshot needs.
    fn collect(&self, image: &Image) {
        let mut used = image.digests();
        used.extend(header(&self.0.join(BEFORE)).into_iter().flat_map(|header| header.code));
        let entries = fs::read_dir(self.0.join(CODE)).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| !used.contains(&*entry.file_name().to_string_lossy())) {
            if let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(%error, file = %entry.path().display(), "unused code cannot be removed");
            }
        }
    }
}

/// What becomes of the newest snapshot when a newer one is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rotate {
    /// It is kept as the one before.
    Yes,
    /// It is written over: it was refused.
    No,
}

fn with_source(error: &Refusal) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}"));
    format!("{error}{}", source.unwrap_or_default())
}

fn header(file: &Path) -> Option<Header> {
    let mut lines = BufReader::new(File::open(file).ok()?).lines();
    let first = lines.next()?.ok()?;
    first.starts_with(&format!("{MAGIC} {FORMAT} ")).then_some(())?;
    serde_json::from_str(&lines.next()?.ok()?).ok()
}

fn encode(image: &Image) -> io::Result<Vec<u8>> {
    let since = crate::clock::unix_now().as_secs();
    let header = Header {
        version: image.version,
        cluster: image.cluster.clone(),
        written_at: since,
        values: image.values.clone(),
        code: image.digests(),
    };
    let mut content = serde_json::to_vec(&header)?;
    content.push(b'\n');
    image.lines(&mut content)?;
    let mut bytes = format!("{MAGIC} {FORMAT} {} {}\n", content.len(), checksum(&content)).into_bytes();
    bytes.append(&mut content);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Result<(Header, Image), Refusal> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(Refusal::Foreign)?;
    let (first, content) = (std::str::from_utf8(&bytes[..end]).map_err(|_| Refusal::Foreign)?, &bytes[end + 1..]);
    let [MAGIC, format, length, sum] = first.split(' ').collect::<Vec<_>>()[..] else { return Err(Refusal::Foreign) };
    if format != FORMAT.to_string() {
        return Err(Refusal::Format(format.to_owned()));
    }
    let expected = length.parse().map_err(|_| Refusal::Foreign)?;
    if content.len() < expected {
        return Err(Refusal::Truncated { found: content.len(), expected });
    }
    if content.len() != expected || checksum(content) != sum {
        return Err(Refusal::Checksum);
    }
    let content = std::str::from_utf8(content).map_err(|_| Refusal::Checksum)?;
    let (first, lines) = content.split_once('\n').ok_or(Refusal::Foreign)?;
    let header: Header = serde_json::from_str(first)?;
    let mut image = Image {
        version: header.version,
        cluster: header.cluster.clone(),
        values: header.values.clone(),
        ..Image::default()
    };
    image.read_lines(lines)?;
    Ok((header, image))
}

/// Of the format number and the content, which has the version in it.
fn checksum(content: &[u8]) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&SHA256);
    context.update(format!("{FORMAT}\n").as_bytes());
    context.update(content);
    text(context.finish().as_ref())
}

fn hex(bytes: &[u8]) -> String {
    text(digest(&SHA256, bytes).as_ref())
}

fn text(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file that only this user may read, on disk when this returns.
fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::store::{Change, Delta};

    fn image(version: Version, code: Option<&[u8]>) -> Image {
        let digest = code.map(hex);
        let row = json!({ "id": "m", "name": "plugin", "digest": digest });
        let consumer = json!({ "id": "c", "username": "ann" });
        let change = |collection: &str, entity: &serde_json::Value| Change {
            collection: collection.into(),
            id: entity["id"].as_str().unwrap().into(),
            entity: entity.as_object().cloned(),
        };
        let mut changes = vec![change("consumers", &consumer)];
        changes.extend(digest.is_some().then(|| change("modules", &row)));
        let mut image = Image { cluster: "one".into(), ..Image::default() };
        image.apply(&Delta { version, full: true, changes });
        image
    }

    fn disk() -> (tempfile::TempDir, Disk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path().join("snapshot"));
        (folder, disk)
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written_and_only_by_its_owner() {
        let (_folder, disk) = disk();
        disk.put_code(&hex(b"code"), b"code").unwrap();
        disk.write(&image(7, Some(b"code")), Rotate::Yes).unwrap();
        let (header, read) = disk.load().unwrap();
        assert_eq!((header.version, read), (7, image(7, Some(b"code"))));
        for file in [disk.0.join(NEWEST), disk.code_file(&hex(b"code")).unwrap()] {
            assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_one_before_stands_in_for_a_damaged_one() {
        let (_folder, disk) = disk();
        disk.write(&image(1, None), Rotate::Yes).unwrap();
        disk.write(&image(2, None), Rotate::Yes).unwrap();
        let newest = disk.0.join(NEWEST);
        let whole = fs::read(&newest).unwrap();
        let text = String::from_utf8(whole.clone()).unwrap();
        let damages = [
            whole[..whole.len() - 3].to_vec(),
            text.replace("ann", "bob").into_bytes(),
            text.replacen("snapshot 1 ", "snapshot 2 ", 1).into_bytes(),
            text.replacen("\"version\":2", "\"version\":3", 1).into_bytes(),
            Vec::new(),
        ];
        for damage in damages {
            fs::write(&newest, &damage).unwrap();
            assert_eq!(disk.load().unwrap().0.version, 1, "{}", String::from_utf8_lossy(&damage));
        }
        fs::write(&newest, &whole).unwrap();
        assert_eq!(disk.load().unwrap().0.version, 2);
    }

    #[test]
    fn a_refused_snapshot_does_not_drive_out_the_good_one() {
        let (_folder, disk) = disk();
        disk.write(&image(1, None), Rotate::Yes).unwrap();
        disk.write(&image(2, None), Rotate::Yes).unwrap();
        fs::write(disk.0.join(NEWEST), "rubbish\n").unwrap();
        disk.write(&image(3, None), Rotate::No).unwrap();
        fs::write(disk.0.join(NEWEST), "rubbish\n").unwrap();
        assert_eq!(disk.load().unwrap().0.version, 1);
    }

    #[test]
    fn a_snapshot_without_its_code_is_refused_and_unused_code_goes() {
        let (_folder, disk) = disk();
        for (version, code) in [(1, b"one"), (2, b"two"), (3, b"3rd")] {
            disk.put_code(&hex(code), code).unwrap();
            disk.write(&image(version, Some(code)), Rotate::Yes).unwrap();
        }
        assert!(disk.code(&hex(b"one")).is_none() && disk.code(&hex(b"two")).is_some());
        fs::write(disk.code_file(&hex(b"3rd")).unwrap(), "not it").unwrap();
        assert_eq!(disk.load().unwrap().0.version, 2);
        fs::remove_file(disk.code_file(&hex(b"two")).unwrap()).unwrap();
        assert!(disk.load().is_none());
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unnoticed(place: usize, bit in 0u8..8) {
            let mut bytes = encode(&image(2, None)).unwrap();
            let place = place % bytes.len();
            bytes[place] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_reading_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }
}
