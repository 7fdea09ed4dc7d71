//! Frames: a length in four bytes, then a message of that length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

/// The longest message, its type byte included: OpenSSH's `AGENT_MAX_LEN`.
pub const MAX_FRAME: usize = 256 * 1024;

/// A message as it came in, wiped when dropped: it may hold a PIN or a private key.
pub type Frame = Zeroizing<Vec<u8>>;

/// Reads the next frame; `None` where the peer is done, which it may be between frames only.
///
/// Memory is reserved when the length is known, and used as bytes come in: a length costs its
/// sender more than it costs us.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] for a length of 0 or above [`MAX_FRAME`], after which nothing
/// can be said about where the next frame begins; and those of the connection.
pub async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut header = [0; 4];
    if from.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..]).await?;
    let len = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if len == 0 || len > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Never grown, since growing would leave a copy behind that nobody wipes.
    let mut frame = Zeroizing::new(Vec::with_capacity(len));
    let mut body = from.take(len as u64);
    while frame.len() < len {
        if body.read_buf(&mut *frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(frame))
}

/// Writes `message` as one frame.
///
/// # Errors
///
/// Those of the connection; [`io::ErrorKind::InvalidData`] if it is longer than [`MAX_FRAME`].
pub async fn write_frame(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    if message.len() > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + message.len()));
    super::put_string(&mut frame, message);
    to.write_all(&frame).await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut bytes: &[u8]) -> io::Result<Option<Frame>> {
        read_frame(&mut bytes).await
    }

    #[tokio::test]
    async fn a_frame_ends_where_it_says() {
        let mut bytes: &[u8] = b"\0\0\0\x01\x0b\0\0\0\x02ab";
        assert_eq!(*read_frame(&mut bytes).await.unwrap().unwrap(), b"\x0b");
        assert_eq!(*read_frame(&mut bytes).await.unwrap().unwrap(), b"ab");
        assert!(read_frame(&mut bytes).await.unwrap().is_none());
    }

    /// A01, A02, A03.
    #[tokio::test]
    async fn impossible_lengths_are_refused_before_a_body_is_read() {
        for header in [0, 256 * 1024 + 1, u32::MAX] {
            let err = read(&header.to_be_bytes()).await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::InvalidData, "{header}");
        }
        let mut longest = (256 * 1024_u32).to_be_bytes().to_vec();
        longest.resize(4 + MAX_FRAME, 11);
        assert_eq!(read(&longest).await.unwrap().unwrap().len(), MAX_FRAME);
    }

    #[tokio::test]
    async fn a_frame_that_is_cut_is_an_error_and_no_frame() {
        for bytes in [&b"\0"[..], b"\0\0\0", b"\0\0\0\x02", b"\0\0\0\x02a"] {
            let err = read(bytes).await.unwrap_err();
            assert_eq!(err.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert!(read(b"").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_written_reads_back_and_too_much_is_not_written() {
        let mut out = Vec::new();
        write_frame(&mut out, b"abc").await.unwrap();
        assert_eq!(*read(&out).await.unwrap().unwrap(), b"abc");
        out.clear();
        assert!(
            write_frame(&mut out, &vec![0; MAX_FRAME + 1])
                .await
                .is_err()
        );
        assert!(out.is_empty());
    }
}
