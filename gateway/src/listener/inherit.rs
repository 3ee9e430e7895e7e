//! Listening sockets that were open before this process was: handed over by the gateway before it, or by systemd.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use socket2::{Socket, Type};

use super::bind::{Entry, Place};

/// Sockets of one message; the kernel takes at most 253.
const AT_ONCE: usize = 32;
/// Bytes of a message: the names of its sockets.
const MESSAGE: usize = 64 << 10;

/// Sockets that wait to be used.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Heirloom>,
}

#[derive(Debug)]
struct Heirloom {
    /// The name by which it is asked for; systemd's have none and are known by their place.
    key: Option<String>,
    place: Place,
    datagrams: bool,
    socket: Socket,
}

impl Inherited {
    /// Those of the gateway before.
    ///
    /// # Errors
    /// When one of them is no socket.
    pub fn named(sockets: Vec<(String, OwnedFd)>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(|(key, socket)| Heirloom::new(Some(key), socket));
        Ok(Self { sockets: sockets.collect::<io::Result<_>>()? })
    }

    /// Those that systemd opened (`LISTEN_FDS`), if it did.
    ///
    /// # Errors
    /// When one of them is no listening socket.
    pub fn from_systemd() -> io::Result<Self> {
        let (mut given, mut sockets) = (listenfd::ListenFd::from_env(), Vec::new());
        for number in 0..given.len() {
            // The crate looks at what it gives away, and tells the kinds apart.
            let socket = match given.take_tcp_listener(number) {
                Ok(socket) => socket.map(OwnedFd::from),
                Err(_) => match given.take_udp_socket(number) {
                    Ok(socket) => socket.map(OwnedFd::from),
                    Err(_) => given.take_unix_listener(number)?.map(OwnedFd::from),
                },
            };
            sockets.extend(socket.map(|socket| Heirloom::new(None, socket)));
        }
        Ok(Self { sockets: sockets.into_iter().collect::<io::Result<_>>()? })
    }

    /// All sockets of this name, or at this place.
    pub(super) fn take(&mut self, key: &str, asked: &Entry) -> Vec<Socket> {
        let is_wanted = |heirloom: &mut Heirloom| match &heirloom.key {
            Some(name) => name == key,
            None => heirloom.place == asked.place && heirloom.datagrams == asked.datagrams,
        };
        self.sockets.extract_if(.., is_wanted).map(|heirloom| heirloom.socket).collect()
    }

    /// Where the sockets are that nobody asked for.
    pub fn rest(&self) -> Vec<String> {
        self.sockets.iter().map(|heirloom| heirloom.place.to_string()).collect()
    }
}

impl Heirloom {
    fn new(key: Option<String>, socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let place = match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => Place::Tcp(address),
            (None, path) => Place::Unix(path.map(Into::into).unwrap_or_default()),
        };
        let datagrams = socket.r#type()? == Type::DGRAM;
        Ok(Self { key, place, datagrams, socket })
    }
}

/// Sends sockets, or other descriptors, with their names, then an empty message. `channel` keeps the bounds of messages
/// (SOCK_SEQPACKET).
///
/// # Errors
/// When the other end is gone.
pub fn bequeath<'a>(channel: impl AsFd, sockets: impl Iterator<Item = &'a (String, OwnedFd)>) -> io::Result<()> {
    let sockets: Vec<_> = sockets.collect();
    for some in sockets.chunks(AT_ONCE) {
        let names: Vec<&str> = some.iter().map(|(name, _)| name.as_str()).collect();
        let descriptors: Vec<_> = some.iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let names = names.join("\n");
        sendmsg(&channel, &[IoSlice::new(names.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    rustix::net::send(&channel, b"\n", SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives what [`bequeath`] sends.
///
/// # Errors
/// When the other end is gone, or says something else.
pub fn inherit(channel: impl AsFd) -> io::Result<Vec<(String, OwnedFd)>> {
    let (mut sockets, mut bytes) = (Vec::new(), vec![0; MESSAGE]);
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let length =
            recvmsg(&channel, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
        match &bytes[..length] {
            [] => return Err(io::ErrorKind::UnexpectedEof.into()),
            b"\n" => return Ok(sockets),
            names => {
                let names = std::str::from_utf8(names).map_err(|_| io::ErrorKind::InvalidData)?;
                let descriptors = ancillary.drain().filter_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                    _ => None,
                });
                sockets.extend(names.split('\n').map(str::to_owned).zip(descriptors.flatten()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[test]
    fn any_number_of_sockets_arrives_under_its_names() {
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let listener = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listeners: Vec<_> = (0..100).map(|_| listener()).collect();
        let named = listeners.iter().map(|listener| (listener.local_addr().unwrap().to_string(), listener));
        let sent: Vec<_> =
            named.map(|(name, listener)| (name, listener.as_fd().try_clone_to_owned().unwrap())).collect();
        bequeath(&one, sent.iter()).unwrap();
        let received = inherit(&other).unwrap();
        assert_eq!(received.len(), 100);
        for (name, socket) in received {
            assert_eq!(Socket::from(socket).local_addr().unwrap().as_socket().unwrap().to_string(), name);
        }
        drop(one);
        assert!(inherit(&other).is_err());
    }
}
