use proptest::prelude::*;

use super::Builtin::{ApiKey, CreditCard, Email, Iban, Phone};
use crate::redact::{Builtin, Redactor};

fn all() -> Redactor {
    Redactor::default().with_builtin([Phone, CreditCard, Iban, Email, ApiKey])
}

fn redacted(text: &str) -> String {
    all().redacted("", text).unwrap_or_else(|| text.to_owned())
}

fn only(kind: Builtin, text: &str) -> String {
    Redactor::default().with_builtin([kind]).redacted("", text).unwrap_or_else(|| text.to_owned())
}

#[track_caller]
fn becomes(kind: Builtin, cases: &[(&str, &str)]) {
    for (text, wanted) in cases {
        assert_eq!(only(kind, text), *wanted, "{kind:?} alone: {text}");
        assert_eq!(redacted(text), *wanted, "{text}");
    }
}

#[track_caller]
fn stays(texts: &[&str]) {
    for text in texts {
        assert_eq!(redacted(text), *text);
    }
}

/// With the check digit that makes `digits` a card number.
fn card(digits: &str) -> String {
    let number = (0..10).map(|check| format!("{digits}{check}")).find(|number| {
        let sum: u32 = number
            .bytes()
            .rev()
            .enumerate()
            .map(|(at, digit)| {
                let value = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
                if value > 9 { value - 9 } else { value }
            })
            .sum();
        sum.is_multiple_of(10)
    });
    number.unwrap()
}

/// With the check digits that make `account` a number of `country`.
fn iban(country: &str, account: &str) -> String {
    let digits: String = format!("{account}{country}00").chars().map(|c| c.to_digit(36).unwrap().to_string()).collect();
    let remainder = digits.bytes().fold(0, |remainder, digit| (remainder * 10 + u32::from(digit - b'0')) % 97);
    format!("{country}{:02}{account}", 98 - remainder)
}

fn grouped(text: &str, sizes: &[usize], gap: &str) -> String {
    let mut rest = text;
    let mut groups = Vec::new();
    for size in sizes.iter().copied().chain(std::iter::repeat(4)) {
        if rest.is_empty() {
            break;
        }
        let (group, after) = rest.split_at(size.min(rest.len()));
        groups.push(group);
        rest = after;
    }
    groups.join(gap)
}

#[test]
fn addresses() {
    becomes(
        Email,
        &[
            ("mail jo@example.com.", "mail [EMAIL]."),
            ("<Jo.O'Neil+tag@mail.example.co.uk>, x_y@a-b.io;", "<[EMAIL]>, [EMAIL];"),
            ("'jo@example.com'", "'[EMAIL]'"),
            ("Schreib an jörg@müller.de, bitte", "Schreib an [EMAIL], bitte"),
            ("пишите на почта@пример.рф.", "пишите на [EMAIL]."),
            ("请联系jo@example.com谢谢", "请联系[EMAIL]谢谢"),
            ("メールはjo@example.jpまで", "メールは[EMAIL]まで"),
            ("jo@xn--mller-kva.xn--p1ai", "[EMAIL]"),
            ("https://x.test/?email=jo%40example.com&a=1", "https://x.test/?email=[EMAIL]&a=1"),
            (r"first\njo@example.com\tlast \u00e9jo@example.com", r"first\n[EMAIL]\tlast \u00e9[EMAIL]"),
            ("jo@example.com-and more", "[EMAIL]-and more"),
            ("a@b@jo@example.com", "a@b@[EMAIL]"),
        ],
    );
    stays(&[
        "@ here",
        "a@b",
        "user@localhost",
        "npm i @types/node@18.2.1",
        "x @ y.com",
        "root@10.0.0.1",
        "50%40%20 @home",
        "@decorator.name",
        "jo@",
        "jo@.com",
        "jo@-x.com",
        "price @ 3.50",
    ]);
}

#[test]
fn cards() {
    becomes(
        CreditCard,
        &[
            ("4111111111111111", "[CREDIT_CARD]"),
            ("card 4111 1111 1111 1111 123, 12/27", "card [CREDIT_CARD] 123, 12/27"),
            ("5500-0000-0000-0004.", "[CREDIT_CARD]."),
            ("amex 3782 822463 10005", "amex [CREDIT_CARD]"),
            ("4222222222222", "[CREDIT_CARD]"),
            ("no. 6011\u{a0}1111\u{a0}1111\u{a0}1117!", "no. [CREDIT_CARD]!"),
            ("卡号4111111111111111。", "卡号[CREDIT_CARD]。"),
            (r"\n4111111111111111\n", r"\n[CREDIT_CARD]\n"),
            ("id,4111111111111111,Jo", "id,[CREDIT_CARD],Jo"),
            ("2221000000000009 and 3530111333300000", "[CREDIT_CARD] and [CREDIT_CARD]"),
        ],
    );
    stays(&[
        // The check digit is wrong, the network unknown, the length, a fraction, a part of something longer.
        "4111111111111112",
        "1111111111111117",
        "41111111111111",
        "0.4111111111111111",
        "4111111111111111.5",
        "a4111111111111111",
        "4111111111111111f",
        "call_4111111111111111",
        "41111111111111114111111111111111",
        "4111-11111111-1111",
        "2026 2027 2028 2029",
    ]);
}

#[test]
fn accounts() {
    becomes(
        Iban,
        &[
            ("IBAN: DE89370400440532013000", "IBAN: [IBAN]"),
            ("GB29 NWBK 6016 1331 9268 19 is mine", "[IBAN] is mine"),
            ("fr14-2004-1010-0505-0001-3m02-606,", "[IBAN],"),
            ("(NL91ABNA0417164300)", "([IBAN])"),
            ("汇到CH9300762011623852957。", "汇到[IBAN]。"),
            ("MT84MALT011000012345MTLCAST001S", "[IBAN]"),
        ],
    );
    stays(&[
        "DE88370400440532013000",
        "DE8937040044053201300",
        "DE893704004405320130001",
        "XDE89370400440532013000",
        "ZZ89370400440532013000",
        "DE 89 3704 0044",
        // A UUID whose first 20 digits would pass.
        "ee53fb3d-36ea-87ed-bb11-00a00a0a0aaa",
    ]);
}

#[test]
fn phone_numbers() {
    becomes(
        Phone,
        &[
            ("Call +49 30 1234567 now", "Call [PHONE] now"),
            ("+14155550134, +1 (415) 555-0134", "[PHONE], [PHONE]"),
            ("+49 (0)30 / 123 45 67", "[PHONE]"),
            ("(+44) 20 7946 0958", "[PHONE]"),
            ("tel:+33612345678", "tel:[PHONE]"),
            ("0049 171 1234567", "[PHONE]"),
            ("(415) 555-0134 or 415-555-0134 or 415.555.0134", "[PHONE] or [PHONE] or [PHONE]"),
            ("1-800-555-0199", "[PHONE]"),
            ("appelez le 06 12 34 56 78.", "appelez le [PHONE]."),
            ("01.23.45.67.89", "[PHONE]"),
            ("Ruf an: 030/1234567, 0171 1234567 oder 089-12345678", "Ruf an: [PHONE], [PHONE] oder [PHONE]"),
            ("(030) 1234567", "[PHONE]"),
            ("020 7946 0958", "[PHONE]"),
            ("03-1234-5678 / 090-1234-5678", "[PHONE] / [PHONE]"),
            ("ligue (11) 98765-4321", "ligue [PHONE]"),
            ("010-1234-5678로 전화", "[PHONE]로 전화"),
            ("тел. 8 495 123-45-67", "тел. [PHONE]"),
            ("我的电话：13800138000", "我的电话：[PHONE]"),
            ("Phone number is 4155550134", "Phone number is [PHONE]"),
            ("Móvil: 612 345 678", "Móvil: [PHONE]"),
            (
                r#"{"phone_number": "4155550134", "phone": 4155550134}"#,
                r#"{"phone_number": "[PHONE]", "phone": "[PHONE]"}"#,
            ),
            (r"\n+4930123456\n", r"\n[PHONE]\n"),
        ],
    );
    stays(&[
        "13800138000",
        "4155550134",
        "2024-01-02 03:04:05",
        "01.02.2024",
        "01/02/2024 10",
        "20240102030405",
        "1700000000",
        "1700000000123",
        "1,234,567 tokens",
        "+12345678",
        "+1000000000",
        "+0100",
        "2024-01-02T03:04:05+0100",
        "192.168.100.200",
        "0.0123456789",
        "order 0301234567",
        "$030 1234567",
        "#030-1234567",
        "v1/030-1234567",
        "01 02 2024",
        "2024 01 02 03 04 05",
        "hotel 4155550134",
        "phone_updated_at: 1700000000",
        "tel: 2024-01-02",
        "phone: 1700000000",
        "ISBN 978-3-16-148410-0",
        "1-2-3-4-5-6-7-8-9",
        "0x0301234567",
        "tokens: 12345678",
        "00:11:22:33:44:55",
        "12.345.678,90",
        "1 234 567 890",
        "555-0134",
    ]);
}

#[test]
fn keys() {
    let samples = [
        "sk-abcdefghijklmnopqrstT3BlbkFJabcdefghijklmnopqrst",
        "sk-proj-Ab_1-cdefghijklmnopqrstuvwxyz0123456789",
        "sk-ant-api03-aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5z-AA",
        "sk-lf-01234567-89ab-cdef-0123-456789abcdef",
        "pk-lf-01234567-89ab-cdef-0123-456789abcdef",
        "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "AIzaSyA-0123456789abcdefghijklmnopqrstu",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "github_pat_11ABCDEFG0123456789_abcdefghijklmnopqrstuvwxyz",
        "glpat-abcdefghij0123456789",
        "gsk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN12",
        "hf_abcdefghijklmnopqrstuvwxyzABCDEF12",
        "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx",
        "SG.abcdefghijklmnopqrstuv.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefg",
        "dt0c01.ABCDEFGHIJKLMNOPQRSTUVWX.ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ01",
        "npm_0123456789abcdefghijklmnopqrstuvwxyz",
        "xai-0123456789abcdefghijklmnopqrstuvwxyz0123456789",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    ];
    for sample in samples {
        for (before, after) in [("", ""), ("key: ", "."), ("\"", "\""), (r"\n", r"\n"), ("密钥", "。"), ("K=", "\n")]
        {
            assert_eq!(redacted(&format!("{before}{sample}{after}")), format!("{before}[API_KEY]{after}"));
        }
        let part = only(ApiKey, &format!("x{sample}"));
        // The parts of a token begin alike.
        assert!(part.starts_with(&format!("x{}", &sample[..10])), "a part of a word: {sample}");
    }
    becomes(
        ApiKey,
        &[
            ("Authorization: Bearer abc123def456ghi7", "Authorization: Bearer [API_KEY]"),
            ("authorization: basic dXNlcjpwYXNzd29yZA==", "authorization: basic [API_KEY]"),
            ("https://a.test/x?key=abcdef&y=1", "https://a.test/x?key=[API_KEY]&y=1"),
            ("https://b.test/c?sv=1&sig=a%2Fb%2Bc%3D", "https://b.test/c?sv=1&sig=[API_KEY]"),
            ("https://b.test/c?X-Amz-Signature=0123456789abcdef", "https://b.test/c?X-Amz-Signature=[API_KEY]"),
            ("postgres://jo:hunter2@db.test:5432/x", "postgres://[API_KEY]@db.test:5432/x"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nAb+/=\n-----END RSA PRIVATE KEY-----\nthen", "[API_KEY]\nthen"),
            (r"-----BEGIN PRIVATE KEY-----\nMIIEow\nAb+/=\n", "[API_KEY]"),
            ("-----BEGIN OPENSSH PRIVATE KEY----- is how it begins", "[API_KEY] is how it begins"),
        ],
    );
    stays(&[
        "sk-learn",
        "sk-container-id-1",
        "task-management-system-for-2024-and-later",
        "sk-estimator-doc-link-for-everybody",
        "hf_hub_download_of_a_long_function_name_1",
        "the bearer of this letter",
        "Bearer authentication-is-required",
        "basic understanding",
        "eyJ",
        "eyJhbGci.short",
        "https://example.com:8080/a@b",
        "http://a:b/c",
        "AKIA",
        "key-value",
        "-----BEGIN PUBLIC KEY-----",
        "risk-0123456789012345678901234567890",
        "?key=a",
    ]);
}

#[test]
fn what_providers_call_things_stays() {
    stays(&[
        "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
        "msg_01XFDUDYJgAACzvnptvVoYEL",
        "toolu_01T1x1fJ34qAmk2tNTrN7Up6",
        "call_abc123DEF456ghi789JKL012",
        "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "fp_44709d6fcb",
        "req_011CSHoEeqs5C35K2UUqR7Fy",
        "file-abc123def456ghi789",
        "asst_abc123",
        "thread_abc123DEF",
        "run_abc123",
        "gpt-4o-2024-08-06",
        "claude-3-5-sonnet-20241022",
        "anthropic.claude-3-5-sonnet-20240620-v1:0",
        "o1-preview-2024-09-12",
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-20250514-v1:0",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "ft:gpt-4o-mini-2024-07-18:acme::AbCdEfGh",
        "text-embedding-3-small",
        "/openai/deployments/gpt-4o/chat/completions",
        "0198f000-0000-7000-8000-000000000001",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        "2026-01-02T03:04:05.678901Z",
    ]);
}

#[test]
fn json_stays_json() {
    let text = r#"{"to":"a\njo@example.com","card":4111111111111111,"é":[1.50,"\u006ao@example.com"],"n":"{\"m\":\"x\\njo@example.com\"}"}"#;
    let wanted = r#"{"to":"a\n[EMAIL]","card":"[CREDIT_CARD]","é":[1.50,"[EMAIL]"],"n":"{\"m\":\"x\\n[EMAIL]\"}"}"#;
    assert_eq!(redacted(text), wanted);
    let spanning = Redactor::new([(r#""password": *"[^"]*""#, "[GONE]"), ("\n", "")]).unwrap();
    assert_eq!(spanning.redacted("", r#"{"password": "a"}"#).unwrap(), r#""{[GONE]}""#);
    assert_eq!(spanning.redacted("", r#"{"a": "b\nc"}"#).unwrap(), r#"{"a": "bc"}"#);
}

#[test]
fn each_kind_is_applied_once_and_before_the_patterns() {
    let redactor = Redactor::new([("EMAIL", "MAIL")]).unwrap().with_builtin([Email, Email]);
    assert_eq!(redactor.redacted("", "jo@example.com").unwrap(), "[MAIL]");
    assert!(Redactor::default().with_builtin([]).is_empty());
}

/// Inputs that would take forever if anything was looked at again and again; and all must come out whole.
#[test]
fn hostile_texts_take_linear_time() {
    const SIZE: usize = 1 << 16;
    let pieces = [
        "@",
        "a@",
        "a.@a.",
        "%40",
        "a%40",
        "@a.",
        "1",
        "1 ",
        "1-",
        "0 ",
        "+",
        "+1",
        "(",
        "()",
        "(1",
        "+49 ",
        "00",
        "sk-",
        "sk-a",
        "-eyJ",
        "eyJ",
        "eyJa.",
        "://",
        "a://b:",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY",
        "-----END ",
        "bearer ",
        "bearer a",
        "key=",
        "api_key=",
        "DE89",
        "DE89 ",
        "DE",
        "\\n",
        "\\",
        "\"",
        "\"\\",
        "{\"",
        "[",
        "{\"a\":1",
        "é1",
        "\u{a0}1",
        "phone 1",
        "01 23 ",
        "4111 ",
        "4111-1111-",
        "......@",
        "a-",
        "tel ",
    ];
    for piece in pieces {
        let text = piece.repeat(SIZE / piece.len());
        for text in [text.clone(), format!("{{\"{text}"), format!("\"{text}")] {
            let redacted = redacted(&format!("{text} jo@example.com"));
            assert!(!redacted.contains("@example.com"), "{piece}");
        }
    }
}

fn separator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", " ", "-", "\u{a0}"])
}

/// What may stand around a secret.
fn around() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("", ""),
        ("it is ", ", thanks"),
        ("\n", "\n"),
        ("(", ")"),
        ("\"", "\""),
        ("是", "。"),
        ("a=", "&b=1"),
        ("né ", "!"),
        (r"\n", r"\n"),
    ])
}

proptest! {
    #[test]
    fn a_card_is_always_gone(
        beginning in prop::sample::select(vec![("4", 15), ("51", 15), ("55", 15), ("2221", 15), ("2720", 15), ("34", 14), ("37", 14), ("36", 13), ("6011", 15), ("65", 15), ("3530", 15), ("62", 15), ("62", 18), ("4", 12), ("4", 18), ("6759", 15), ("2200", 15)]),
        digits in "[0-9]{18}", gap in separator(), (before, after) in around(),
    ) {
        let (start, length) = beginning;
        let number = card(&format!("{start}{digits}")[..length]);
        let groups: &[usize] = match number.len() { 14 => &[4, 6, 4], 15 => &[4, 6, 5], _ => &[4] };
        let text = format!("{before}{}{after}", grouped(&number, groups, gap));
        prop_assert_eq!(only(CreditCard, &text), format!("{before}[CREDIT_CARD]{after}"));
        prop_assert!(!redacted(&text).contains(&number[..8]), "{}", redacted(&text));
    }

    #[test]
    fn an_account_is_always_gone(
        (country, length) in prop::sample::select(vec![("DE", 18), ("GB", 18), ("FR", 23), ("NL", 14), ("NO", 11), ("MT", 27), ("ES", 20), ("SA", 20), ("BR", 25), ("CH", 17)]),
        account in "[0-9A-Z]{27}", gap in separator(), lower in any::<bool>(), (before, after) in around(),
    ) {
        let number = iban(country, &account[..length]);
        let shown = grouped(&number, &[4], gap);
        let shown = if lower { shown.to_lowercase() } else { shown };
        let text = format!("{before}{shown}{after}");
        prop_assert_eq!(only(Iban, &text), format!("{before}[IBAN]{after}"));
        prop_assert!(!redacted(&text).contains(&shown), "{}", redacted(&text));
    }

    #[test]
    fn an_address_is_always_gone(
        local in "[a-zA-Z0-9_]([a-zA-Z0-9._+-]{0,20}[a-z0-9])?", domain in "([a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?\\.){1,3}[a-z]{2,8}",
        (before, after) in around(),
    ) {
        let text = format!("{before}{local}@{domain}{after}");
        let redacted = redacted(&text);
        prop_assert!(!redacted.contains('@') && redacted.contains("[EMAIL]"), "{}", redacted);
        prop_assert!(redacted.starts_with(before) && redacted.ends_with(after), "{}", redacted);
    }

    #[test]
    fn an_international_number_is_always_gone(
        country in prop::sample::select(vec!["49", "33", "44", "353", "420", "81", "91", "55", "380"]), area in "[1-9][0-9]{1,2}", rest in "[0-9]{2}[1-9]{4}",
        gap in prop::sample::select(vec!["", " ", "-", ".", "/", "\u{a0}"]), (before, after) in around(),
    ) {
        let text = format!("{before}+{}{after}", [country, &area, &rest].join(gap));
        prop_assert_eq!(redacted(&text), format!("{before}[PHONE]{after}"));
    }

    #[test]
    fn ids_and_counts_are_never_touched(
        uuid in "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        hash in "[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}",
        id in "(chatcmpl|msg|resp|call|toolu|req|run|gen)[-_][0-9a-zA-Z]{12,40}",
        count in 0u64..100_000_000, epoch in 946_684_800u64..3_000_000_000, millis in 0u64..1000,
        date in "(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])", time in "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]",
        day in "(0[1-9]|[12][0-9]|3[01])\\.(0[1-9]|1[0-2])\\.(19|20)[0-9]{2}", fraction in "-?[0-9]\\.[0-9]{1,18}", amount in "[1-9][0-9]{0,2}(,[0-9]{3}){0,3}\\.[0-9]{2}",
        version in "v?[0-9]{1,2}\\.[0-9]{1,3}\\.[0-9]{1,3}", address in "[1-9][0-9]{0,2}(\\.[0-9]{1,3}){3}",
    ) {
        // A hash of decimal digits alone could be anything.
        prop_assume!(!hash.bytes().all(|byte| byte.is_ascii_digit()));
        let text = format!(
            "{uuid} {hash} id={id} tokens: {count}, at {epoch} ({epoch}{millis:03}) on {date}T{time}Z, {date} {time}, {day}; {fraction} ${amount} {version} {address}"
        );
        prop_assert_eq!(redacted(&text), text);
    }

    #[test]
    fn any_json_stays_json_and_any_text_is_read(text in ".{0,40}", key in "[a-z]{0,4}", number in any::<u64>(), bytes in "[@.a0-9+ %()\\\\\"{}\\[\\]:,eyJn-]{0,60}") {
        let value = serde_json::json!({key: [text, number, {"to": format!("{text}\njo@example.com {bytes}")}], "b": bytes});
        let json = value.to_string();
        let redacted = redacted(&json);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&redacted).is_ok(), "{} {}", json, redacted);
        prop_assert!(!redacted.contains("jo@example.com"), "{}", redacted);
        all().redacted(&bytes, &bytes);
    }
}
