//! The bounds of a spreadsheet, checked before a parser trusts them.
//!
//! An `.xls` file is a compound document: chains of sectors, and in one of them a run of records.
//! The parser follows both without a bound: a chain that leads back to itself, or two cells far
//! apart, make it take all memory, which ends the process and cannot be caught. So this walks the
//! same chains and the same records first, and refuses a file that no table can be. Layout:
//! \[MS-CFB\] 2.1 to 2.6 and \[MS-XLS\] 2.4.

/// Sheets of one workbook. The scheme's has one.
const SHEETS_MAX: usize = 16;
/// Places of cells from the first to the last row and column of a workbook: a full sheet of 65,536
/// rows with twice the scheme's columns.
const PLACES_MAX: u64 = 65_536 * 32;

/// Sector numbers from here on have meanings of their own.
const RESERVED_SECTORS: u32 = 0xFFFF_FFFA;
const NO_FAT_SECTOR: u32 = 0xFFFF_FFFC;
const END_OF_CHAIN: u32 = 0xFFFF_FFFE;
/// Bytes of a directory entry, and of a sector of the stream of small streams.
const ENTRY_BYTES: usize = 128;
const SMALL_SECTOR_BYTES: usize = 64;
/// Shorter streams lie in small sectors.
const SMALL_STREAM_BYTES: usize = 4_096;

/// Types of records.
const DIMENSIONS: u16 = 0x0200;
const BOUND_SHEET: u16 = 0x0085;
const MANY_NUMBERS: u16 = 0x00BD;
/// Records of one cell: row and column stand first.
const ONE_CELL: [u16; 7] = [0x0006, 0x00D6, 0x00FD, 0x0203, 0x0204, 0x0205, 0x027E];

/// Whether the parser may be given these bytes; the error says why not.
pub(super) fn check(file: &[u8]) -> Result<(), &'static str> {
    let document = Compound::read(file)?;
    let workbook = document.workbook()?;
    let mut starts = vec![0];
    walk(&workbook, |kind, data| {
        if kind == BOUND_SHEET {
            starts.push(number(data, 0).ok_or(DAMAGED)? as usize);
        }
        if starts.len() > SHEETS_MAX + 1 { Err("the workbook has too many sheets") } else { Ok(()) }
    })?;
    for start in starts {
        let mut extent = Extent::default();
        // A sheet that begins behind the end is the parser's to refuse.
        let sheet = workbook.get(start..).unwrap_or_default();
        walk(sheet, |kind, data| extent.take(kind, data))?;
    }
    Ok(())
}

const DAMAGED: &str = "it is damaged";
const ENDLESS: &str = "a chain of sectors has no end";

/// The compound document around the workbook.
struct Compound<'f> {
    file: &'f [u8],
    sector_bytes: usize,
    /// For each sector the next one of its chain.
    next: Vec<u32>,
    directory: Vec<u8>,
    /// First sector and bytes of the chain that says the same of small sectors.
    small_next: (u32, usize),
}

impl<'f> Compound<'f> {
    fn read(file: &'f [u8]) -> Result<Self, &'static str> {
        let field = |at| number(file, at).ok_or(DAMAGED);
        let sector_bytes = match half(file, 30) {
            Some(9) => 512,
            Some(12) => 4_096,
            _ => return Err(DAMAGED),
        };
        let mut document = Self {
            file,
            sector_bytes,
            next: Vec::new(),
            directory: Vec::new(),
            small_next: (field(60)?, (field(64)? as usize).saturating_mul(sector_bytes)),
        };
        for sector in document.table_sectors(field(68)?)? {
            document.next.extend(numbers(document.sector(sector)?));
            if document.next.len() > file.len() {
                return Err("sectors are used more than once");
            }
        }
        document.directory = document.chain(field(48)?, usize::MAX)?;
        Ok(document)
    }

    /// The sectors that hold the chains: the header names the first 109, and where more are named.
    fn table_sectors(&self, mut more: u32) -> Result<Vec<u32>, &'static str> {
        let mut sectors: Vec<u32> = numbers(self.file.get(76..512).ok_or(DAMAGED)?).collect();
        let mut steps = 0;
        while more < RESERVED_SECTORS {
            sectors.extend(numbers(self.sector(more)?));
            more = sectors.pop().ok_or(DAMAGED)?;
            steps += self.sector_bytes;
            if steps > self.file.len() {
                return Err(ENDLESS);
            }
        }
        sectors.retain(|sector| *sector < NO_FAT_SECTOR);
        Ok(sectors)
    }

    /// One sector; the last of a file may be cut.
    fn sector(&self, sector: u32) -> Result<&'f [u8], &'static str> {
        let start = (sector as usize + 1).checked_mul(self.sector_bytes).ok_or(DAMAGED)?;
        let end = self.file.len().min(start.saturating_add(self.sector_bytes));
        self.file.get(start..end).ok_or(DAMAGED)
    }

    /// The bytes of a chain of sectors, at most `bytes_max`.
    fn chain(&self, first: u32, bytes_max: usize) -> Result<Vec<u8>, &'static str> {
        let sector = |number| self.sector(number);
        follow(first, bytes_max, &self.next, sector, self.file.len())
    }

    /// Size and first sector of every directory entry.
    fn entries(&self) -> impl Iterator<Item = (&[u8], u32, usize)> {
        self.directory.chunks_exact(ENTRY_BYTES).map(|entry| {
            let low = number(entry, 120).unwrap_or(0) as usize;
            let high = number(entry, 124).unwrap_or(0) as usize;
            // Files with small sectors may leave anything in the upper half.
            let bytes = if self.sector_bytes == 512 { low } else { low | high << 32 };
            (&entry[..64], number(entry, 116).unwrap_or(END_OF_CHAIN), bytes)
        })
    }

    /// The stream of records.
    fn workbook(&self) -> Result<Vec<u8>, &'static str> {
        if self.entries().any(|(_, _, bytes)| bytes > self.file.len()) {
            return Err("a stream is longer than the file");
        }
        let (_, root, root_bytes) = self.entries().next().ok_or(DAMAGED)?;
        let named = |name: &str| self.entries().find(|(field, ..)| is_named(field, name));
        let found = named("Workbook").or_else(|| named("Book"));
        let (_, first, bytes) = found.ok_or("the file has no workbook")?;
        if bytes >= SMALL_STREAM_BYTES {
            return self.chain(first, bytes);
        }
        let (table, table_bytes) = self.small_next;
        let next: Vec<u32> = match table_bytes {
            0 => Vec::new(),
            bytes => numbers(&self.chain(table, bytes)?).collect(),
        };
        let small = self.chain(root, root_bytes)?;
        let sector = |number: u32| {
            let start = (number as usize).checked_mul(SMALL_SECTOR_BYTES).ok_or(DAMAGED)?;
            let end = small.len().min(start.saturating_add(SMALL_SECTOR_BYTES));
            small.get(start..end).ok_or(DAMAGED)
        };
        follow(first, bytes, &next, sector, self.file.len())
    }
}

/// Ends because a chain without a cycle has no more bytes than the file.
fn follow<'s>(
    first: u32,
    bytes_max: usize,
    next: &[u32],
    sector: impl Fn(u32) -> Result<&'s [u8], &'static str>,
    file_bytes: usize,
) -> Result<Vec<u8>, &'static str> {
    let mut chain = Vec::new();
    let mut at = first;
    let mut steps = 0;
    while at != END_OF_CHAIN && chain.len() < bytes_max {
        chain.extend_from_slice(sector(at)?);
        at = *next.get(at as usize).ok_or(DAMAGED)?;
        steps += 1;
        if chain.len() > file_bytes || steps > file_bytes {
            return Err(ENDLESS);
        }
    }
    chain.truncate(bytes_max);
    Ok(chain)
}

/// Whether a directory entry's name, in UTF-16, is this one in any case.
fn is_named(field: &[u8], name: &str) -> bool {
    let units = field.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let found: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16_lossy(&found).eq_ignore_ascii_case(name)
}

/// Calls `take` with the type and data of each record, up to the last whole one.
fn walk(
    mut stream: &[u8],
    mut take: impl FnMut(u16, &[u8]) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    while let (Some(kind), Some(length)) = (half(stream, 0), half(stream, 2)) {
        let end = usize::from(length) + 4;
        let Some(data) = stream.get(4..end) else { return Ok(()) };
        take(kind, data)?;
        stream = &stream[end..];
    }
    Ok(())
}

/// The last row and column of a sheet, as its records say.
#[derive(Default)]
struct Extent {
    row: u64,
    column: u64,
}

impl Extent {
    fn take(&mut self, kind: u16, data: &[u8]) -> Result<(), &'static str> {
        let short = |at| half(data, at).map_or(0, u64::from);
        let long = |at| number(data, at).map_or(0, u64::from);
        match kind {
            DIMENSIONS => {
                let (first, row, column) = match data.len() {
                    10 => (short(0), short(2), short(6)),
                    _ => (long(0), long(4), short(10)),
                };
                if first > row {
                    return Err("the last row stands before the first");
                }
                self.reach(row, column)
            }
            MANY_NUMBERS => self.reach(short(0), short(data.len().saturating_sub(2))),
            kind if ONE_CELL.contains(&kind) => self.reach(short(0), short(2)),
            _ => Ok(()),
        }
    }

    fn reach(&mut self, row: u64, column: u64) -> Result<(), &'static str> {
        self.row = self.row.max(row);
        self.column = self.column.max(column);
        let places = (self.row + 1) * (self.column + 1);
        if places > PLACES_MAX { Err("the cells are too far apart") } else { Ok(()) }
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|two| u16::from_le_bytes(*two))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|four| u32::from_le_bytes(*four))
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}

#[cfg(test)]
mod tests {
    use super::{ENDLESS, check};

    const TABLE: &[u8] = include_bytes!("../../../tests/fixtures/bin/table.xls");
    /// Where the fixture's chain of sectors stands, of which the ninth is the directory's only one.
    const NEXT_AT: usize = 512 * 9;
    const DIRECTORY: usize = 9;

    /// The fixture with other bytes at a place.
    fn with(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut table = TABLE.to_vec();
        table[at..at + bytes.len()].copy_from_slice(bytes);
        table
    }

    fn dimensions_at() -> usize {
        let head = [0x00, 0x02, 14, 0];
        TABLE.windows(4).position(|four| four == head).expect("it has dimensions") + 4
    }

    #[test]
    fn a_table_is_let_through() {
        assert_eq!(check(TABLE), Ok(()));
    }

    /// Each of these took all memory, or all time, of the parser.
    #[test]
    fn what_would_take_all_memory_is_refused() {
        let directory = u32::try_from(DIRECTORY).expect("small").to_le_bytes();
        assert_eq!(check(&with(NEXT_AT + DIRECTORY * 4, &directory)), Err(ENDLESS));
        // A sector that is cut to one number, which names the sector itself.
        let mut itself = with(68, &[0; 4]);
        itself.truncate(512);
        itself.extend_from_slice(&[0; 4]);
        assert_eq!(check(&itself), Err(ENDLESS));
        let far = "the cells are too far apart";
        assert_eq!(check(&with(dimensions_at() + 4, &[0xff; 4])), Err(far));
        assert_eq!(check(&with(dimensions_at() + 10, &[0xff; 2])), Ok(()));
        let number = TABLE.windows(4).position(|four| four == [0xfd, 0, 10, 0]).expect("a cell");
        assert_eq!(check(&with(number + 4, &[0xff; 4])), Err(far));
        let reversed = "the last row stands before the first";
        assert_eq!(check(&with(dimensions_at(), &[0xff; 2])), Err(reversed));
    }

    #[test]
    fn any_change_is_an_answer() {
        for place in 0..TABLE.len() {
            for change in [1, 0x55, 0xff] {
                let _either = check(&with(place, &[TABLE[place] ^ change]));
            }
            let _either = check(&TABLE[..place]);
        }
    }
}
