//! The quick way through a document. It takes what logs are made of and gives up on everything
//! else: on bad JSON, on depth, on what is rare. The parser behind it then reads the document from
//! the start, and its answer, or its error, is the one that counts. So this way may only ever read
//! a document as that parser reads it, which a property test holds.
//!
//! Its speed comes from the order of keys: a producer writes them in the same order in every
//! record, so the key that followed last time is compared first, and rarely is another looked up.

use std::fmt::Write;

use super::{Scalar, Value, Values};
use crate::ingest::mapping::Plan;

/// Depth of mapped objects and arrays. The parser behind refuses 128; this must stay below.
const DEEPEST: usize = 100;
/// Depth of objects and arrays in a value that nobody mapped: a bit each.
const DEEPEST_SKIPPED: u32 = u64::BITS;
/// Integers up to here are f64 without loss.
const EXACT: u64 = 1 << 53;
/// Powers of ten that are f64 without loss.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Reads the document `json` into `values`, which are reset. False where it gave up; `values` then
/// hold a part and must be reset.
pub(super) fn read(plan: &Plan, json: &str, most_rows: usize, values: &mut Values) -> bool {
    let mut made = std::mem::take(&mut values.made);
    made.clear();
    let mut scan = Scan { plan, json, bytes: json.as_bytes(), at: 0, most_rows, values, made };
    let done = scan.document().is_some();
    let made = scan.made;
    // Texts are parts of the document, which is kept as it is, and what was made from them is behind it.
    values.arena.push_str(json);
    values.arena.push_str(&made);
    values.made = made;
    done
}

/// A text that stood in the document.
struct Text {
    start: usize,
    end: usize,
    escaped: bool,
}

struct Scan<'a> {
    plan: &'a Plan,
    json: &'a str,
    bytes: &'a [u8],
    at: usize,
    most_rows: usize,
    values: &'a mut Values,
    /// Texts that do not stand in the document as they are.
    made: String,
}

impl Scan<'_> {
    fn document(&mut self) -> Option<()> {
        self.blanks();
        if self.peek()? != b'{' {
            return None;
        }
        self.object(0, None, 0)?;
        self.blanks();
        (self.at == self.bytes.len()).then_some(())
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn colon(&mut self) -> Option<()> {
        self.blanks();
        if self.peek()? != b':' {
            return None;
        }
        self.at += 1;
        self.blanks();
        Some(())
    }

    /// Whether another element follows; false behind `close`.
    fn more(&mut self, close: u8) -> Option<bool> {
        self.blanks();
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' {
            self.blanks();
            return Some(true);
        }
        (byte == close).then_some(false)
    }

    /// Goes into an object or array; false if it is empty, and then behind it.
    fn enter(&mut self, close: u8) -> Option<bool> {
        self.at += 1;
        self.blanks();
        let empty = self.peek()? == close;
        self.at += usize::from(empty);
        Some(!empty)
    }

    fn value(&mut self, node: usize, row: Option<usize>, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(node, row, depth),
            b'[' => self.array(node, row, depth),
            _ => {
                let slot = self.plan.nodes[node].slot;
                let value = self.scalar(slot.is_some_and(|slot| self.plan.slots[slot].as_text))?;
                if let Some(slot) = slot {
                    self.values.set(slot, row, value);
                }
                Some(())
            }
        }
    }

    /// An object or array where a scalar may have been mapped.
    fn nested(&mut self, node: usize, row: Option<usize>) {
        if let Some(slot) = self.plan.nodes[node].slot {
            self.values.set(slot, row, Value { scalar: Scalar::Nested, text: (0, 0) });
        }
    }

    fn object(&mut self, node: usize, row: Option<usize>, depth: usize) -> Option<()> {
        if depth == DEEPEST {
            return None;
        }
        self.nested(node, row);
        let mut more = self.enter(b'}')?;
        // Keys so far that lead somewhere: 0 at the beginning, then the last one's number and one.
        let mut before = 0;
        while more {
            let key = match self.expected(node, before) {
                Some(key) => Some(key),
                None => self.key(node, before)?,
            };
            self.colon()?;
            match key {
                Some(key) => {
                    before = key + 1;
                    self.value(self.plan.nodes[node].keys[key].child, row, depth + 1)?;
                }
                None => self.skip()?,
            }
            more = self.more(b'}')?;
        }
        Some(())
    }

    /// The key that followed here last time, if it stands here again.
    #[inline]
    fn expected(&mut self, node: usize, before: usize) -> Option<usize> {
        let number = *self.values.order[node].get(before)?;
        let length = self.plan.nodes[node].keys.get(number)?.begins(&self.bytes[self.at..])?;
        self.at += length;
        Some(number)
    }

    /// Reads whatever key stands here, and remembers it if it leads somewhere.
    fn key(&mut self, node: usize, before: usize) -> Option<Option<usize>> {
        let text = self.text()?;
        let found = if text.escaped {
            let key: String = serde_json::from_str(&self.json[text.start - 1..=text.end]).ok()?;
            self.plan.nodes[node].key(&key)
        } else {
            self.plan.nodes[node].key(&self.json[text.start..text.end])
        };
        if let (Some(found), Some(next)) = (found, self.values.order[node].get_mut(before)) {
            *next = found;
        }
        Some(found)
    }

    fn array(&mut self, node: usize, row: Option<usize>, depth: usize) -> Option<()> {
        if depth == DEEPEST {
            return None;
        }
        self.nested(node, row);
        let spec = &self.plan.nodes[node];
        let mut more = self.enter(b']')?;
        let mut index = 0;
        while more {
            let (child, row) = match spec.each {
                Some(_) if index >= self.most_rows => return None,
                Some(each) => (Some(each), Some(index)),
                None if spec.is_leaf() => (None, row),
                None => (spec.child(&index.to_string()), row),
            };
            match child {
                Some(child) => self.value(child, row, depth + 1)?,
                None => self.skip()?,
            }
            index += 1;
            more = self.more(b']')?;
        }
        if !spec.is_leaf() {
            self.values.lengths[node] = index;
        }
        Some(())
    }

    fn scalar(&mut self, as_text: bool) -> Option<Value> {
        let start = self.at;
        let scalar = match self.peek()? {
            b'"' => {
                let text = self.text()?;
                let text = if text.escaped {
                    let whole: String = serde_json::from_str(&self.json[text.start - 1..=text.end]).ok()?;
                    self.make(|made| made.push_str(&whole))
                } else {
                    (text.start as u32, text.end as u32)
                };
                return Some(Value { scalar: Scalar::Text, text });
            }
            b't' => self.word("true", Scalar::Bool)?,
            b'f' => self.word("false", Scalar::Bool)?,
            b'n' => return self.word("null", Value { scalar: Scalar::Null, text: (0, 0) }),
            _ => self.number()?,
        };
        let text = match scalar {
            _ if !as_text => (0, 0),
            Scalar::Float(value) if !self.is_integer(start) => {
                self.make(|made| write!(made, "{value}").expect("text in memory takes everything"))
            }
            _ => (start as u32, self.at as u32),
        };
        Some(Value { scalar, text })
    }

    /// Whether what was read since `start` has neither a fraction nor an exponent.
    fn is_integer(&self, start: usize) -> bool {
        self.bytes[start..self.at].iter().all(|byte| byte.is_ascii_digit())
    }

    /// Keeps a text that does not stand in the document.
    fn make(&mut self, text: impl FnOnce(&mut String)) -> (u32, u32) {
        let start = self.json.len() + self.made.len();
        text(&mut self.made);
        (start as u32, (self.json.len() + self.made.len()) as u32)
    }

    fn word<T>(&mut self, word: &str, value: T) -> Option<T> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end)? != word.as_bytes() {
            return None;
        }
        self.at = end;
        Some(value)
    }

    /// Reads digits onto `number` and says how many; the number is right up to nineteen digits.
    #[inline]
    fn digits(&mut self, number: &mut u64) -> usize {
        let rest = &self.bytes[self.at..];
        let (mut digits, mut value) = (0, *number);
        while let Some(digit @ b'0'..=b'9') = rest.get(digits) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            digits += 1;
        }
        self.at += digits;
        *number = value;
        digits
    }

    fn number(&mut self) -> Option<Scalar> {
        let start = self.at;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let leading_zero = self.peek()? == b'0';
        let mut number = 0;
        let mut digits = self.digits(&mut number);
        if digits == 0 || (leading_zero && digits > 1) {
            return None;
        }
        let mut exponent = 0;
        match self.peek() {
            Some(b'.' | b'e' | b'E') => {}
            _ if digits > 19 || (negative && (number == 0 || number > i64::MAX as u64)) => return None,
            _ if negative => return Some(Scalar::Integer(-(number as i64))),
            _ => {
                return Some(i64::try_from(number).map_or(Scalar::Float(number as f64), Scalar::Integer));
            }
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            let decimals = self.digits(&mut number);
            if decimals == 0 {
                return None;
            }
            digits += decimals;
            exponent = -i64::try_from(decimals).ok()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let sign = self.peek()?;
            self.at += usize::from(sign == b'-' || sign == b'+');
            let mut power = 0;
            // More digits than these are zero or infinity, if they are not zeros.
            if !(1..=4).contains(&self.digits(&mut power)) {
                return None;
            }
            exponent += if sign == b'-' { -(power as i64) } else { power as i64 };
        }
        let power = POWERS.get(exponent.unsigned_abs() as usize);
        let value = match power {
            // Both sides are exact, so the one rounding is the right one (W. D. Clinger, "How to
            // read floating point numbers accurately", PLDI 1990).
            Some(power) if digits <= 19 && number <= EXACT => {
                let value = if exponent < 0 { number as f64 / power } else { number as f64 * power };
                if negative { -value } else { value }
            }
            _ => self.json[start..self.at].parse().ok()?,
        };
        value.is_finite().then_some(Scalar::Float(value))
    }

    /// Reads a text with its quotes. What may follow a backslash is checked, not resolved.
    fn text(&mut self) -> Option<Text> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.plain_text();
            match self.peek()? {
                b'"' => {
                    let end = self.at;
                    self.at += 1;
                    return Some(Text { start, end, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                    match self.bytes.get(self.at - 1)? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' if self.bytes.get(self.at..self.at + 4)?.iter().all(u8::is_ascii_hexdigit) => {
                            self.at += 4;
                        }
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
    }

    /// Goes on for as long as eight bytes at a time hold no quote, backslash or control character.
    fn plain_text(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const TOPS: u64 = 0x8080_8080_8080_8080;
        // A byte's top bit is set where the byte is zero, or by a borrow from one below that is.
        let zero = |word: u64| word.wrapping_sub(ONES) & !word & TOPS;
        while let Some(bytes) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*bytes);
            let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
            let stop = zero(word ^ (ONES * 0x22)) | zero(word ^ (ONES * 0x5c)) | control;
            if stop != 0 {
                // The lowest of the marked bytes is no borrow's, so it is where the text stops.
                self.at += (stop.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
    }

    /// Reads a value that nobody mapped.
    fn skip(&mut self) -> Option<()> {
        // What is open, the innermost in the lowest bit: 1 for an object, 0 for an array.
        let (mut open, mut depth) = (0_u64, 0);
        loop {
            match self.peek()? {
                b'"' => {
                    self.text()?;
                }
                bracket @ (b'{' | b'[') => {
                    let object = bracket == b'{';
                    if self.enter(if object { b'}' } else { b']' })? {
                        if depth == DEEPEST_SKIPPED {
                            return None;
                        }
                        (open, depth) = (open << 1 | u64::from(object), depth + 1);
                        if object {
                            self.text()?;
                            self.colon()?;
                        }
                        continue;
                    }
                }
                b't' => self.word("true", ())?,
                b'f' => self.word("false", ())?,
                b'n' => self.word("null", ())?,
                _ => {
                    self.number()?;
                }
            }
            loop {
                if depth == 0 {
                    return Some(());
                }
                let object = open & 1 == 1;
                if self.more(if object { b'}' } else { b']' })? {
                    if object {
                        self.text()?;
                        self.colon()?;
                    }
                    break;
                }
                (open, depth) = (open >> 1, depth - 1);
            }
        }
    }
}
