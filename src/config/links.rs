//! Reads how ISO 8583 messages lie on a channel's links from its section: the length before a
//! frame, the header, the format, and where the MAC stands. Must not know what any field means.

use super::mistake::Mistakes;
use super::raw::Document;
use super::section::Section;
use crate::codec::iso8583::frame::{Framing, LengthForm};
use crate::codec::iso8583::header::{FrameHeader, HeaderForm, PlainHeader};
use crate::codec::iso8583::mac::{MacForm, MacMethod, MacRule};
use crate::codec::iso8583::notation::{FieldKind, FieldSpec, Packing, Size};
use crate::codec::iso8583::{BitmapForm, FIELD_MAX, Format, Habits, ShippedFormat};
use crate::codec::sign::read_hex;

const METHODS: [(&str, MacMethod); 4] = [
    ("unionpay-ecb", MacMethod::UnionPayEcb),
    ("x9.9", MacMethod::X99),
    ("x9.19", MacMethod::X919),
    ("cups", MacMethod::CupsText),
];
const FORMS: [(&str, MacForm); 2] = [("hex", MacForm::HexHalf), ("raw", MacForm::Raw)];

/// How messages lie on a link.
#[derive(Clone)]
pub struct LinkForm {
    pub format: Format,
    pub framing: Framing,
    /// `None`: the centre's header.
    pub header: Option<PlainHeader>,
}

impl LinkForm {
    /// The form of what stands before a message.
    pub fn header_form(&self) -> HeaderForm {
        self.header.map_or(HeaderForm::Cups, |header| FrameHeader::Plain(header).form())
    }
}

/// What a file has that says nothing of it.
pub fn usual(shipped: ShippedFormat) -> (LinkForm, MacRule) {
    let (document, mistakes) = (Document::parse("", "").expect("TOML"), Mistakes::new());
    let form = read_link_form(&document.root(&mistakes), shipped);
    let form = form.expect("a test reads both shipped formats");
    let rule = read_mac_rule(&document.root(&mistakes), shipped, &form.format);
    (form, rule.expect("each shipped format has a place for its MAC"))
}

/// Reads it from the protocol's section, where a shipped format holds unless the file says
/// otherwise. `None` after a mistake.
pub fn read_link_form(section: &Section<'_>, shipped: ShippedFormat) -> Option<LinkForm> {
    let length = match shipped {
        ShippedFormat::Posp => LengthForm::Binary2,
        ShippedFormat::Cups => LengthForm::Ascii4,
    };
    let framing = Framing {
        form: section.choice_or("length", length, &LengthForm::WORDS),
        includes_itself: section.boolean_or("length_counts_itself", false),
        frame_bytes_max: section.integer_or("frame_bytes_max", 4_096, 64..=65_535),
    };
    let mut format = read_habits(section, shipped);
    format.filler = if section.boolean_or("filler_f", false) { 15 } else { 0 };
    let is_sound = read_fields(section, &mut format);
    let header = read_header(section, shipped);
    is_sound.then_some(LinkForm { format, framing, header: header? })
}

/// The shipped fields under the habits that the section `format` gives.
fn read_habits(section: &Section<'_>, shipped: ShippedFormat) -> Format {
    let usual = Format::shipped(shipped).habits;
    let Some(inner) = section.optional_section("format") else { return Format::shipped(shipped) };
    let [ascii, ebcdic, bcd, _] = Packing::WORDS;
    let habits = Habits {
        message_type: inner.choice_or("message_type", usual.message_type, &[ascii, ebcdic, bcd]),
        bitmap: inner.choice_or("bitmap", usual.bitmap, &BitmapForm::WORDS),
        numbers: inner.choice_or("numbers", usual.numbers, &[ascii, ebcdic, bcd]),
        texts: inner.choice_or("texts", usual.texts, &[ascii, ebcdic]),
        lengths: inner.choice_or("lengths", usual.lengths, &Packing::WORDS),
    };
    inner.finish();
    Format::shipped_under(shipped, |_| habits)
}

fn read_fields(section: &Section<'_>, format: &mut Format) -> bool {
    let mut is_sound = true;
    let Some(fields) = section.optional_section("fields") else { return true };
    for (key, _) in fields.keys() {
        let number = key.parse::<u8>().ok();
        let set = fields.parsed(key, "n..19", |notation| match number {
            Some(number) => format.set(number, notation),
            None => Err("its key is not a field's number"),
        });
        is_sound &= set.is_some();
    }
    fields.finish();
    is_sound
}

/// Outer `None` after a mistake, inner `None` for the centre's header.
fn read_header(section: &Section<'_>, shipped: ShippedFormat) -> Option<Option<PlainHeader>> {
    let (tpdu, header) = match shipped {
        ShippedFormat::Posp => {
            let tpdu = section.text_or("tpdu", "6000030000");
            (tpdu, section.text_or("header", "602200000000"))
        }
        ShippedFormat::Cups => {
            let given = (section.optional_text("tpdu"), section.optional_text("header"));
            match given {
                (None, None) => return Some(None),
                (tpdu, header) => (tpdu.unwrap_or_default(), header.unwrap_or_default()),
            }
        }
    };
    let tpdu_bytes = read_hex(&tpdu).and_then(|bytes| <[u8; 5]>::try_from(bytes).ok());
    if tpdu_bytes.is_none() && !tpdu.is_empty() {
        let advice = "write for example \"6000030000\", or \"\" where there is none";
        section.mistake("tpdu", "is not 10 hexadecimal digits", advice);
        return None;
    }
    let plain = read_hex(&header).and_then(|bytes| PlainHeader::new(tpdu_bytes, &bytes));
    if plain.is_none() {
        let most = (PlainHeader::BYTES_MAX - tpdu_bytes.map_or(0, |tpdu| tpdu.len())) * 2;
        let problem = format!("is not an even number of hexadecimal digits, {most} at most");
        let advice = "write for example \"602200000000\", or \"\" where there is none";
        section.mistake("header", &problem, advice);
    }
    plain.map(Some)
}

/// Reads how the MAC is made and where it stands, from the section `mac`. `None` after a mistake.
pub fn read_mac_rule(
    mac: &Section<'_>,
    shipped: ShippedFormat,
    format: &Format,
) -> Option<MacRule> {
    let (method, field) = match shipped {
        ShippedFormat::Posp => (MacMethod::UnionPayEcb, 64),
        ShippedFormat::Cups => (MacMethod::CupsText, 128),
    };
    let rule = MacRule {
        method: mac.choice_or("method", method, &METHODS),
        form: mac.choice_or("form", MacForm::HexHalf, &FORMS),
        field: mac.integer_or("field", field, 64_u8..=FIELD_MAX),
    };
    let problem = mac_problem(&rule, format);
    if let Some((key, problem, advice)) = problem {
        mac.mistake(key, problem, advice);
    }
    problem.is_none().then_some(rule)
}

type Told = (&'static str, &'static str, &'static str);

/// The key, what is wrong with it, and what to do.
fn mac_problem(rule: &MacRule, format: &Format) -> Option<Told> {
    if ![64, FIELD_MAX].contains(&rule.field) {
        return Some(("field", "is neither 64 nor 128", "write the field that ends a message"));
    }
    if format.numbers_listed().last() != Some(rule.field) {
        let problem = "is not the last field of the format, so it could not cover the others";
        return Some(("field", problem, "take the others out by `none`, or write 128"));
    }
    let fits = |spec: &FieldSpec| {
        let is_binary = spec.kind == FieldKind::Binary;
        let holds = is_binary || rule.form == MacForm::HexHalf && spec.packing != Packing::Bcd;
        spec.size == Size::Fixed(8) && holds
    };
    if !format.field(rule.field).is_some_and(fits) {
        let problem = "does not fit into its field of the format";
        return Some((
            "form",
            problem,
            "under [iso8583.fields] write \"b8\", or \"an8\" for `hex`",
        ));
    }
    let is_ascii = [format.habits.numbers, format.habits.texts, format.habits.lengths];
    if rule.method == MacMethod::CupsText && is_ascii != [Packing::Ascii; 3] {
        let problem = "makes its text of fields in ASCII";
        return Some(("method", problem, "choose another one for this format"));
    }
    None
}
