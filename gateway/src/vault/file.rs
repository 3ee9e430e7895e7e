//! The `file` vault: files below one folder, as orchestrators mount secrets. The kernel keeps every look-up below it:
//! neither `..` nor a link leads out.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};

use super::{VaultError, member};
use crate::model::VaultReference;

/// Bytes of a secret at most.
const LONGEST: u64 = 1 << 20;

/// The file of a reference below `folder` and `prefix`, without the line end at its end. Where the resource is a folder,
/// the key names a file in it; otherwise a member of the JSON object that the file holds. Version 2 is the file with
/// `.previous` behind its name.
pub(super) async fn get(folder: Option<&Path>, prefix: &str, reference: &VaultReference) -> Result<String, VaultError> {
    let folder = folder.ok_or(VaultError::NoFolder)?.to_owned();
    let previous = if reference.version == Some(2) { ".previous" } else { "" };
    let resource = Path::new(prefix).join(format!("{}{previous}", reference.resource));
    let inside =
        reference.key.as_ref().map(|key| Path::new(prefix).join(&reference.resource).join(format!("{key}{previous}")));
    let key = reference.key.clone();
    let read = tokio::task::spawn_blocking(move || match (read(&folder, &resource), inside, key) {
        (Err(VaultError::Io(error)), Some(inside), _) if is_folder_or_missing(&error) => read(&folder, &inside),
        (secret, _, Some(key)) => member(&secret?, &key),
        (secret, _, None) => secret,
    });
    read.await.unwrap_or_else(|error| Err(io::Error::other(error).into())).map_err(missing)
}

fn is_folder_or_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::NotFound)
}

fn missing(error: VaultError) -> VaultError {
    match error {
        VaultError::Io(error) if error.kind() == io::ErrorKind::NotFound => VaultError::Missing,
        other => other,
    }
}

fn read(folder: &Path, path: &Path) -> Result<String, VaultError> {
    let file = open_below(folder, path)?;
    let about = file.metadata()?;
    if about.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    // A pipe or device would never end.
    if !about.is_file() {
        return Err(VaultError::Name);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(VaultError::TooLong(LONGEST));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| VaultError::NotText)?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn open_below(folder: &Path, path: &Path) -> Result<File, VaultError> {
    let failed = |error: rustix::io::Errno| match error {
        // The way leads out of the folder.
        rustix::io::Errno::XDEV | rustix::io::Errno::LOOP | rustix::io::Errno::INVAL => VaultError::Name,
        other => VaultError::Io(other.into()),
    };
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder: OwnedFd = open(folder, directory, Mode::empty()).map_err(failed)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(&folder, path, flags, Mode::empty(), resolve).map_err(failed)?.into())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    async fn found(folder: &Path, text: &str) -> Result<String, VaultError> {
        get(Some(folder), "", &VaultReference::parse(text).unwrap()).await
    }

    #[tokio::test]
    async fn files_folders_and_members_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "t\n").unwrap();
        fs::write(folder.path().join("token.previous"), "old").unwrap();
        fs::write(folder.path().join("db"), r#"{"password":"p","port":1}"#).unwrap();
        fs::create_dir(folder.path().join("tls")).unwrap();
        fs::write(folder.path().join("tls/cert.pem"), "line\n\n").unwrap();
        let cases = [
            ("{vault://file/token}", "t"),
            ("{vault://file/token#2}", "old"),
            ("{vault://file/db/password}", "p"),
            ("{vault://file/tls/cert.pem}", "line\n"),
            ("{vault://file/tls/cert.pem/}", "line\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(found(folder.path(), text).await.unwrap(), expected, "{text}");
        }
        assert!(matches!(found(folder.path(), "{vault://file/db/port}").await, Err(VaultError::Key)));
        assert!(matches!(found(folder.path(), "{vault://file/none}").await, Err(VaultError::Missing)));
    }

    #[tokio::test]
    async fn nothing_leads_out_of_the_folder() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("secrets");
        fs::create_dir(&folder).unwrap();
        fs::write(around.path().join("outside"), "o").unwrap();
        symlink("../outside", folder.join("link")).unwrap();
        symlink(around.path().join("outside"), folder.join("absolute")).unwrap();
        for name in ["..%2Foutside/", "../outside/", "link", "absolute", "%2Fetc%2Fpasswd/", "..", "a%00b", "."] {
            let outcome = found(&folder, &format!("{{vault://file/{name}}}")).await;
            assert!(outcome.is_err(), "{name}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_link_inside_the_folder_is_followed_and_a_long_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "x").unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        fs::write(folder.path().join("long"), vec![b'x'; (LONGEST + 1) as usize]).unwrap();
        assert_eq!(found(folder.path(), "{vault://file/b}").await.unwrap(), "x");
        assert!(matches!(found(folder.path(), "{vault://file/long}").await, Err(VaultError::TooLong(_))));
    }
}
