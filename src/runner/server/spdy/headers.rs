//! PURE: header blocks: names and values, compressed by zlib with SPDY's dictionary. All blocks of one direction are one
//! compressed stream, so a block that cannot be read ends the connection.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Broken;
use super::dictionary::dictionary;

/// The largest block, decompressed: a stream's headers are a handful of short words.
pub const MAX_BLOCK: usize = 16 << 10;
const PIECE: usize = 1 << 10;

/// Names are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// `name` in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn decode(block: &[u8]) -> Result<Headers, Broken> {
        let mut rest = block;
        let count = number(&mut rest).ok_or(Broken::Headers)?;
        let mut headers = Vec::new();
        // each takes at least its two lengths: a count that lies ends with the block
        for _ in 0..count {
            let mut text = || {
                let length = number(&mut rest)?;
                let (text, after) = rest.split_at_checked(length)?;
                rest = after;
                String::from_utf8(text.to_vec()).ok()
            };
            let (name, value) = (text().ok_or(Broken::Headers)?, text().ok_or(Broken::Headers)?);
            headers.push((name.to_ascii_lowercase(), value));
        }
        if rest.is_empty() { Ok(Headers(headers)) } else { Err(Broken::Headers) }
    }

    fn encode(&self) -> Vec<u8> {
        let mut block = (self.0.len() as u32).to_be_bytes().to_vec();
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        block
    }
}

fn number(rest: &mut &[u8]) -> Option<usize> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    usize::try_from(u32::from_be_bytes(*number)).ok()
}

/// The blocks that come.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
}

impl Default for Inflater {
    fn default() -> Self {
        Inflater { stream: Decompress::new(true) }
    }
}

impl Inflater {
    pub fn block(&mut self, compressed: &[u8]) -> Result<Headers, Broken> {
        let mut block = Vec::new();
        let mut rest = compressed;
        loop {
            let mut piece = [0; PIECE];
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let decompressed = self.stream.decompress(rest, &mut piece, FlushDecompress::Sync);
            // counters grow by what these buffers hold
            rest = &rest[(self.stream.total_in() - read) as usize..];
            block.extend_from_slice(&piece[..(self.stream.total_out() - written) as usize]);
            if block.len() > MAX_BLOCK {
                return Err(Broken::TooLarge(MAX_BLOCK));
            }
            match decompressed {
                Ok(Status::Ok | Status::BufError) if self.stream.total_out() - written == PIECE as u64 => {}
                Ok(Status::Ok) if !rest.is_empty() => {}
                Ok(Status::Ok | Status::BufError) if rest.is_empty() => return Headers::decode(&block),
                // the first block of a stream says which dictionary it was made with
                Err(error) if error.needs_dictionary().is_some() => {
                    self.stream.set_dictionary(&dictionary()).map_err(|_| Broken::Compression)?;
                }
                Ok(_) | Err(_) => return Err(Broken::Compression),
            }
        }
    }
}

/// The blocks that go.
#[derive(Debug)]
pub struct Deflater {
    stream: Compress,
}

impl Deflater {
    pub fn new() -> Result<Self, Broken> {
        let mut stream = Compress::new(Compression::fast(), true);
        stream.set_dictionary(&dictionary()).map_err(|_| Broken::Compression)?;
        Ok(Deflater { stream })
    }

    pub fn block(&mut self, headers: &Headers) -> Result<Vec<u8>, Broken> {
        let block = headers.encode();
        let (mut rest, mut compressed) = (block.as_slice(), Vec::new());
        loop {
            let mut piece = [0; PIECE];
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            self.stream.compress(rest, &mut piece, FlushCompress::Sync).map_err(|_| Broken::Compression)?;
            rest = &rest[(self.stream.total_in() - read) as usize..];
            let got = (self.stream.total_out() - written) as usize;
            compressed.extend_from_slice(&piece[..got]);
            if rest.is_empty() && got < PIECE {
                return Ok(compressed);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_dictionary_is_spdys() {
        let mut stream = Compress::new(Compression::fast(), true);
        assert_eq!(dictionary().len(), 1423);
        assert_eq!(stream.set_dictionary(&dictionary()).unwrap(), 0xe3c6_a7c2);
    }

    #[test]
    fn blocks_of_one_connection_are_read_one_after_the_other() {
        let (mut deflater, mut inflater) = (Deflater::new().unwrap(), Inflater::default());
        let long = "x".repeat(5000);
        for sent in [
            headers(&[("streamtype", "error")]),
            headers(&[]),
            headers(&[("streamtype", "data"), ("port", "8080"), ("requestid", "0")]),
            headers(&[("a", &long)]),
            headers(&[("streamtype", "error")]),
        ] {
            let compressed = deflater.block(&sent).unwrap();
            assert_eq!(inflater.block(&compressed).unwrap(), sent);
        }
    }

    #[test]
    fn blocks_of_another_compressor_are_read() {
        // zlib's own, at Go's level: a first block and a second one
        let blocks = ["78f9e3c6a7c202a62346703a2b294a4dcc851625aca9a08006000000ffff", "c22a054ccc29f9a52500000000ffff"];
        let mut inflater = Inflater::default();
        let read = blocks.map(|block| inflater.block(&hex::decode(block).unwrap()).unwrap());
        assert_eq!(read, [headers(&[("streamtype", "error")]), headers(&[("streamtype", "stdout")])]);
    }

    #[test]
    fn hostile_blocks_are_refused_and_take_no_memory() {
        let mut deflater = Deflater::new().unwrap();
        let bomb = deflater.block(&headers(&[("a", &"x".repeat(4 << 20))])).unwrap();
        assert!(bomb.len() < 400 << 10, "{}", bomb.len());
        assert_eq!(Inflater::default().block(&bomb), Err(Broken::TooLarge(MAX_BLOCK)));
        assert_eq!(Inflater::default().block(b"no zlib at all"), Err(Broken::Compression));
        for lie in [&[0, 0, 0, 2][..], &[0xff; 4], &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1], &[0, 0, 0, 0, 9], b""] {
            assert_eq!(Headers::decode(lie), Err(Broken::Headers), "{lie:?}");
        }
        assert_eq!(Headers::decode(&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0]), Err(Broken::Headers));
    }
}
