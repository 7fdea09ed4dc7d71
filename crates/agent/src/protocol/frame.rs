//! Frames: a length in four bytes, then a message of that length.

use std::io::{self, ErrorKind, Read};

use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

/// The longest message, its type byte included: OpenSSH's `AGENT_MAX_LEN`.
pub const MAX_FRAME: usize = 256 * 1024;

/// A message as it came in, wiped when dropped: it may hold a PIN or a private key.
pub type Frame = Zeroizing<Vec<u8>>;

/// Reads the next frame; `None` if the peer has hung up, which it may do only between frames.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] for a length of 0 or above [`MAX_FRAME`], after which nothing
/// can be said about where the next frame begins; and those of the connection.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut header = [0; 4];
    let len = loop {
        match from.read(&mut header) {
            Ok(0) => return Ok(None),
            Ok(len) => break len,
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    };
    from.read_exact(&mut header[len..])?;
    let mut frame = place_for(header)?;
    from.read_exact(&mut frame)?;
    Ok(Some(frame))
}

/// As [`read_frame`]; the end of the input is an error.
///
/// # Errors
///
/// As [`read_frame`]; [`ErrorKind::UnexpectedEof`] if the peer has hung up.
pub async fn await_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut header = [0; 4];
    from.read_exact(&mut header).await?;
    let mut frame = place_for(header)?;
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Memory for a message of the length that `header` states. It is never grown, because that would
/// leave a copy that is not wiped. The kernel gives pages of a large one only as bytes arrive, so a
/// header alone costs the agent little.
fn place_for(header: [u8; 4]) -> io::Result<Frame> {
    let len = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if len == 0 || len > MAX_FRAME {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(Zeroizing::new(vec![0; len]))
}

/// `message` as one frame, to be written at once.
///
/// # Errors
///
/// [`ErrorKind::InvalidData`] if it is longer than [`MAX_FRAME`].
pub fn framed(message: &[u8]) -> io::Result<Frame> {
    if message.len() > MAX_FRAME {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + message.len()));
    super::put_string(&mut frame, message);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> io::Result<Option<Frame>> {
        read_frame(&mut bytes)
    }

    /// What both ways of reading say of `bytes`, which has to be the same.
    async fn both(bytes: &[u8]) -> io::Result<Frame> {
        let awaited = await_frame(&mut { bytes }).await;
        let read = read(bytes).and_then(|frame| frame.ok_or(ErrorKind::UnexpectedEof.into()));
        match (&awaited, &read) {
            (Ok(awaited), Ok(read)) => assert_eq!(awaited, read),
            (awaited, read) => assert_eq!(
                awaited.as_ref().map_err(io::Error::kind),
                read.as_ref().map_err(io::Error::kind)
            ),
        }
        read
    }

    #[test]
    fn a_frame_ends_where_it_says() {
        let mut bytes: &[u8] = b"\0\0\0\x01\x0b\0\0\0\x02ab";
        assert_eq!(*read_frame(&mut bytes).unwrap().unwrap(), b"\x0b");
        assert_eq!(*read_frame(&mut bytes).unwrap().unwrap(), b"ab");
        assert!(read_frame(&mut bytes).unwrap().is_none());
    }

    #[tokio::test]
    async fn impossible_lengths_are_refused_before_a_body_is_read() {
        for header in [0, 256 * 1024 + 1, u32::MAX] {
            let err = both(&header.to_be_bytes()).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::InvalidData, "{header}");
        }
        let mut longest = (256 * 1024_u32).to_be_bytes().to_vec();
        longest.resize(4 + MAX_FRAME, 11);
        assert_eq!(both(&longest).await.unwrap().len(), MAX_FRAME);
    }

    #[tokio::test]
    async fn a_frame_that_is_cut_is_an_error_and_no_frame() {
        for bytes in [&b"\0"[..], b"\0\0\0", b"\0\0\0\x02", b"\0\0\0\x02a"] {
            let err = both(bytes).await.unwrap_err();
            assert_eq!(err.kind(), ErrorKind::UnexpectedEof);
        }
        assert!(read(b"").unwrap().is_none());
    }

    #[test]
    fn what_is_framed_reads_back_and_too_much_is_not_framed() {
        assert_eq!(*read(&framed(b"abc").unwrap()).unwrap().unwrap(), b"abc");
        let err = framed(&vec![0; MAX_FRAME + 1]).unwrap_err();
        assert_eq!(err.kind(), ErrorKind::InvalidData);
    }
}
