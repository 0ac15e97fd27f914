//! Rust source as tokens: enough to tell code from comments and strings, and imports from the rest.

/// One token and the line it starts on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Counted from 1.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
    /// An identifier, one character of punctuation, or the inside of a string.
    pub text: String,
}

/// The kinds that the rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An identifier or keyword.
    Word,
    /// One character of punctuation.
    Mark,
    /// A string of any form.
    Text,
    /// A number, a character, a lifetime.
    Other,
}

impl Token {
    /// Whether it is this word or mark.
    pub fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Mark) && self.text == text
    }
}

/// The tokens of a source file, comments left out.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut reader = Reader { chars: source.chars().collect(), at: 0, line: 1, found: Vec::new() };
    while reader.at < reader.chars.len() {
        reader.next();
    }
    reader.found
}

/// The same without what only tests see: items under `#[cfg(test)]` and functions under `#[test]`.
pub fn shipped(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match test_attribute(&tokens[at..]) {
            Some(length) => at = end_of_item(tokens, at + length),
            None => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// Index behind the bracket that closes the one at `open`.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (offset, token) in tokens[open..].iter().enumerate() {
        if token.is("(") || token.is("[") || token.is("{") {
            depth += 1;
        } else if token.is(")") || token.is("]") || token.is("}") {
            depth -= 1;
            if depth == 0 {
                return open + offset + 1;
            }
        }
    }
    tokens.len()
}

fn test_attribute(tokens: &[Token]) -> Option<usize> {
    if !(tokens.first()?.is("#") && tokens.get(1)?.is("[")) {
        return None;
    }
    let end = closing(tokens, 1);
    let inside = &tokens[2..end.saturating_sub(1)];
    let named = |name: &str| inside.iter().any(|token| token.is(name));
    let conditional = inside.first()?.is("cfg") && named("test") && !named("not");
    let function = inside.last().is_some_and(|last| last.is("test"));
    (conditional || function).then_some(end)
}

fn end_of_item(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        if tokens[at].is("{") {
            return closing(tokens, at);
        }
        if tokens[at].is(";") {
            return at + 1;
        }
        at = if tokens[at].is("(") || tokens[at].is("[") { closing(tokens, at) } else { at + 1 };
    }
    at
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Token>,
}

impl Reader {
    fn next(&mut self) {
        let here = self.chars[self.at];
        if here.is_whitespace() {
            self.step();
        } else if self.looks_at("//") {
            while self.peek(0).is_some_and(|c| c != '\n') {
                self.step();
            }
        } else if self.looks_at("/*") {
            self.block_comment();
        } else if let Some((hashes, skip)) = self.raw_string() {
            self.string(skip, hashes, true);
        } else if here == '"' || matches!(here, 'b' | 'c') && self.peek(1) == Some('"') {
            self.string(if here == '"' { 1 } else { 2 }, 0, false);
        } else if here == '\'' || here == 'b' && self.peek(1) == Some('\'') {
            self.character();
        } else if here.is_alphabetic() || here == '_' {
            self.take(Kind::Word, |c| c.is_alphanumeric() || c == '_');
        } else if here.is_ascii_digit() {
            self.take(Kind::Other, |c| c.is_alphanumeric() || c == '_');
        } else {
            self.push(Kind::Mark, here.to_string());
            self.step();
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn step(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn looks_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, c)| self.peek(ahead) == Some(c))
    }

    fn push(&mut self, kind: Kind, text: String) {
        self.found.push(Token { line: self.line, kind, text });
    }

    fn take(&mut self, kind: Kind, belongs: impl Fn(char) -> bool) {
        let start = self.at;
        while self.peek(0).is_some_and(&belongs) {
            self.at += 1;
        }
        self.push(kind, self.chars[start..self.at].iter().collect());
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            if self.looks_at("/*") {
                depth += 1;
                self.at += 2;
            } else if self.looks_at("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return;
                }
            } else {
                self.step();
            }
        }
    }

    /// Hashes of the raw string that opens here, and the length of its opening.
    fn raw_string(&self) -> Option<(usize, usize)> {
        let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
            let behind = self.peek(prefix.len());
            self.looks_at(prefix) && matches!(behind, Some('"' | '#'))
        })?;
        let hashes = (0..).take_while(|n| self.peek(prefix.len() + n) == Some('#')).count();
        (self.peek(prefix.len() + hashes) == Some('"')).then_some((hashes, prefix.len() + hashes + 1))
    }

    fn string(&mut self, opening: usize, hashes: usize, raw: bool) {
        let line = self.line;
        self.at += opening;
        let start = self.at;
        let end = format!("\"{}", "#".repeat(hashes));
        while self.at < self.chars.len() && !self.looks_at(&end) {
            if !raw && self.peek(0) == Some('\\') {
                self.step();
            }
            self.step();
        }
        let text = self.chars[start..self.at.min(self.chars.len())].iter().collect();
        self.found.push(Token { line, kind: Kind::Text, text });
        self.at += 1 + hashes;
    }

    /// A character, or a lifetime.
    fn character(&mut self) {
        self.at += usize::from(self.peek(0) == Some('b'));
        let escaped = self.peek(1) == Some('\\');
        let length = if escaped { (3..).find(|n| self.peek(*n).is_none_or(|c| c == '\'')) } else { Some(2) };
        match length {
            Some(length) if self.peek(length) == Some('\'') => {
                self.push(Kind::Other, String::new());
                self.at += length + 1;
            }
            _ => {
                self.at += 1;
                self.take(Kind::Other, |c| c.is_alphanumeric() || c == '_');
            }
        }
    }
}
