//! Reads a recording.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::CaptureError;
use super::record::{
    CapturedMessage, HEADER_BYTES, RECORD_FIELD_BYTES, RECORD_HEAD_BYTES, VERSION, read_header,
};
use crate::clock;

/// The messages of a recording, in the order in which they were recorded.
///
/// It reads from a file without a runtime, and so blocks its thread for as long as the disk takes. It holds one message at a
/// time in memory, and none that is larger than the rest of the file.
#[derive(Debug)]
pub struct CaptureReader {
    source: BufReader<File>,
    file: PathBuf,
    began: SystemTime,
    /// Where the next record begins, and the size of the file when it was opened.
    offset: u64,
    size: u64,
    messages: u64,
    ended: bool,
}

impl CaptureReader {
    /// Opens a recording.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Io`], [`Foreign`](CaptureError::Foreign) and [`Version`](CaptureError::Version).
    pub fn open(file: impl AsRef<Path>) -> Result<Self, CaptureError> {
        let file = file.as_ref().to_owned();
        let io = |error| CaptureError::Io {
            file: file.clone(),
            error,
        };
        let source = File::open(&file).map_err(io)?;
        let size = source.metadata().map_err(io)?.len();
        let mut source = BufReader::new(source);
        let mut header = [0; HEADER_BYTES];
        match source.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(CaptureError::Foreign(file));
            }
            Err(error) => return Err(io(error)),
        }
        let Some((version, millis)) = read_header(&header) else {
            return Err(CaptureError::Foreign(file));
        };
        if version != VERSION {
            return Err(CaptureError::Version { file, version });
        }
        Ok(Self {
            source,
            file,
            began: clock::of_wall(millis),
            offset: HEADER_BYTES as u64,
            size,
            messages: 0,
            ended: false,
        })
    }

    /// When the recording began, by the clock of the machine that made it.
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// Messages that were read so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    fn read_next(&mut self) -> Result<Option<CapturedMessage>, CaptureError> {
        let rest = self.size.saturating_sub(self.offset);
        if rest == 0 {
            return Ok(None);
        }
        // The file may have grown since it was opened: what came later is not read.
        let left = rest
            .checked_sub(RECORD_HEAD_BYTES as u64)
            .ok_or_else(|| self.cut())?;
        let mut head = [0; RECORD_HEAD_BYTES];
        self.fill(&mut head)?;
        let [a, b, c, d, e, f, g, h] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length as u64 > left {
            return Err(self.cut());
        }
        if length < RECORD_FIELD_BYTES {
            return Err(self.damaged());
        }
        let mut body = vec![0; length];
        self.fill(&mut body)?;
        let sum = u32::from_be_bytes([e, f, g, h]);
        let message = CapturedMessage::read(sum, body.into()).ok_or_else(|| self.damaged())?;
        self.offset += (RECORD_HEAD_BYTES + length) as u64;
        self.messages += 1;
        Ok(Some(message))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CaptureError> {
        self.source.read_exact(bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return self.cut();
            }
            CaptureError::Io {
                file: self.file.clone(),
                error,
            }
        })
    }

    fn cut(&self) -> CaptureError {
        CaptureError::Cut {
            file: self.file.clone(),
            messages: self.messages,
            offset: self.offset,
        }
    }

    fn damaged(&self) -> CaptureError {
        CaptureError::Damaged {
            file: self.file.clone(),
            messages: self.messages,
            offset: self.offset,
        }
    }
}

/// Ends after the first error.
impl Iterator for CaptureReader {
    type Item = Result<CapturedMessage, CaptureError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.read_next().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
