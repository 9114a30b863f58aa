use proptest::prelude::*;

use super::*;

/// Tokens by the crate whose vocabularies these are, which is tested against OpenAI's own tokenizer.
fn reference(model: &str, text: &str) -> u64 {
    let tokenizer = if uses_cl100k(model) { bpe_openai::cl100k_base() } else { bpe_openai::o200k_base() };
    tokenizer.count(text) as u64
}

const MODELS: [&str; 2] = ["gpt-4o", "gpt-4"];

#[test]
fn the_rules_compile() {
    assert!(split::O200K.is_some() && split::CL100K.is_some());
}

#[test]
fn models_have_their_encoding() {
    for model in [
        "gpt-4",
        "gpt-4-0613",
        "openai/GPT-4-turbo",
        "gpt-35-turbo",
        "ft:gpt-3.5-turbo-0125:x::y",
        "text-embedding-3-small",
    ] {
        assert!(uses_cl100k(model), "{model}");
    }
    for model in ["gpt-4o-mini", "gpt-4.1", "gpt-5", "o3", "ft:gpt-4o-2024-08-06:x::y", "llama3", "claude-3", "", "é"]
    {
        assert!(!uses_cl100k(model), "{model}");
    }
    // Known counts, the same text in both.
    assert_eq!(estimate_tokens(Some("gpt-4o"), "hello world"), 2);
    assert_eq!(estimate_tokens(None, "antidisestablishmentarianism"), 6);
    assert_eq!(estimate_tokens(Some("gpt-4"), "お誕生日おめでとう"), 9);
    assert_eq!(estimate_tokens(Some("gpt-4o"), "お誕生日おめでとう"), 8);
    assert_eq!(estimate_tokens(None, ""), 0);
}

#[test]
fn a_chat_is_framed_as_openai_counts_it() {
    // Both prompts, with the counts that the API reported, stand in OpenAI's documentation.
    let hello = [("system", "You are a helpful assistant."), ("user", "Hello!")];
    assert_eq!(estimate_chat(Some("gpt-4o"), hello.into_iter()), 19);
    assert_eq!(estimate_chat(Some("gpt-3.5-turbo"), [("user", "Say this is a test")].into_iter()), 12);
    assert_eq!(estimate_chat(None, std::iter::empty::<(&str, &str)>()), 3);
}

#[test]
fn counts_are_those_of_the_reference() {
    let texts = [
        "The quick brown fox, it's 12345678 years old!  \n\n  Indented\tand\r\ntrailing   ",
        "   leading, 'quoted', we'll SHOUT'LL CamelCaseHTTPServer snake_case kebab-case",
        "fn main() { println!(\"{}\", 0x1F * 3.1415); } // комментарий / path/to/file\n/\n",
        "漢字かな交じり文。한국어 텍스트 ภาษาไทย العربية हिन्दी ελληνικά עברית",
        "👨\u{200d}👩\u{200d}👧\u{200d}👦 🇩🇪 e\u{301}\u{301} \u{a0}\u{2003}\u{3000} \0\u{7f}\u{85}x \u{2028}y",
        "{\"a\":[1,2,{\"b\":null}],\"c\":\"\\u00e9\\n\"}",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        " ",
        "\n",
        " \n x",
    ];
    for text in texts {
        for model in MODELS {
            assert_eq!(estimate_tokens(Some(model), text), reference(model, text), "{model} {text:?}");
        }
    }
}

#[test]
fn hostile_texts_are_counted_to_within_seven_percent() {
    let texts = [
        "a".repeat(20_000),
        " ".repeat(20_000),
        format!("{}x", " ".repeat(20_000)),
        "\n".repeat(20_000),
        " \n".repeat(10_000),
        "😀".repeat(5_000),
        "漢".repeat(6_000),
        "ab".repeat(10_000),
        "aA".repeat(10_000),
        "!?".repeat(10_000),
        "7".repeat(20_000),
        "a\u{301}".repeat(6_000),
        "\0".repeat(20_000),
    ];
    for text in texts {
        for model in MODELS {
            let (ours, theirs) = (estimate_tokens(Some(model), &text), reference(model, &text));
            let start: String = text.chars().take(4).collect();
            assert!(ours.abs_diff(theirs) <= theirs / 15 + 1, "{model} {start:?} {ours} {theirs}");
        }
    }
}

#[test]
fn of_too_much_text_the_rest_is_extrapolated() {
    let line = "A line of text, é.\n";
    let lines = 2 * MAX_COUNTED / line.len();
    let whole = line.repeat(lines);
    let (part, texts) = (estimate_tokens(None, &line.repeat(100)), estimate_texts(None, whole.split_inclusive('\n')));
    let whole = estimate_tokens(None, &whole);
    for count in [whole, texts] {
        assert!((count * 100).abs_diff(part * lines as u64) < part * 10, "{part} {count}");
    }
}

proptest! {
    #[test]
    fn any_text_is_counted_like_the_reference(text in "\\PC{0,80}") {
        for model in MODELS {
            prop_assert_eq!(estimate_tokens(Some(model), &text), reference(model, &text));
        }
    }

    #[test]
    fn any_mix_of_what_the_rules_tell_apart_is_counted_like_the_reference(
        text in "([a-cA-C'é漢7\u{301}]|  ?|[\n\r\t\u{a0}\u{85}]|[.,/!_-]|'ll|'S|😀|ǅ|ʰ|\u{200d}){0,60}",
    ) {
        for model in MODELS {
            prop_assert_eq!(estimate_tokens(Some(model), &text), reference(model, &text));
            let rules = Encoding::of(Some(model)).rules.unwrap();
            prop_assert_eq!(split::pieces(rules, &text).collect::<String>(), text.as_str());
        }
    }
}
