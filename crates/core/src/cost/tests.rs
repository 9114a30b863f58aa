use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

/// Input and output price of `model` in the built-in table.
fn list_price(model: &str, provider: &str) -> Option<(f64, f64)> {
    Prices::default().rates(&[model], provider).map(|rates| (rates.input, rates.output))
}

fn usage(input: impl Into<Option<u64>>, output: impl Into<Option<u64>>) -> Usage {
    Usage { input: input.into(), output: output.into(), ..Usage::default() }
}

fn own(model: &str, input: f64, output: f64) -> Price {
    Price { model: model.into(), input, output, cached: None }
}

#[test]
fn siblings_keep_their_own_price() {
    let table = [
        ("gpt-4o", 2.5, 10.0),
        ("gpt-4o-2024-05-13", 5.0, 15.0),
        ("gpt-4o-2024-08-06", 2.5, 10.0),
        ("gpt-4o-2024-11-20", 2.5, 10.0),
        ("gpt-4o-mini", 0.15, 0.6),
        ("gpt-4o-mini-2024-07-18", 0.15, 0.6),
        ("ft:gpt-4o-mini-2024-07-18:acme::a1b2", 0.3, 1.2),
        ("ft:gpt-4o-2024-08-06:acme::a1b2", 3.75, 15.0),
        ("gpt-4", 30.0, 60.0),
        ("gpt-4-0613", 30.0, 60.0),
        ("gpt-4-32k-0613", 60.0, 120.0),
        ("gpt-4-turbo-2024-04-09", 10.0, 30.0),
        ("gpt-4-1106-preview", 10.0, 30.0),
        ("gpt-4.1", 2.0, 8.0),
        ("gpt-4.1-2025-04-14", 2.0, 8.0),
        ("gpt-4.1-mini-2025-04-14", 0.4, 1.6),
        ("gpt-4.1-nano", 0.1, 0.4),
        ("gpt-5-2025-08-07", 1.25, 10.0),
        ("gpt-5-mini-2025-08-07", 0.25, 2.0),
        ("gpt-5-nano-2025-08-07", 0.05, 0.4),
        ("gpt-5-pro-2025-10-06", 15.0, 120.0),
        ("gpt-5.2", 1.75, 14.0),
        ("gpt-5.4-mini", 0.75, 4.5),
        ("o1-2024-12-17", 15.0, 60.0),
        ("o1-mini-2024-09-12", 1.1, 4.4),
        ("o1-pro-2025-03-19", 150.0, 600.0),
        ("o3-2025-04-16", 2.0, 8.0),
        ("o3-mini-2025-01-31", 1.1, 4.4),
        ("o3-pro", 20.0, 80.0),
        ("o4-mini-2025-04-16", 1.1, 4.4),
        ("gpt-3.5-turbo", 0.5, 1.5),
        ("gpt-35-turbo", 0.5, 1.5),
        ("gpt-3.5-turbo-0613", 1.5, 2.0),
        ("gpt-3.5-turbo-16k-0613", 3.0, 4.0),
        ("gpt-3.5-turbo-instruct:20230824-v2", 1.5, 2.0),
        ("davinci-002", 2.0, 2.0),
        ("babbage-002", 0.4, 0.4),
        ("text-embedding-3-small", 0.02, 0.0),
        ("text-embedding-3-large", 0.13, 0.0),
        ("text-embedding-ada-002-v2", 0.1, 0.0),
        ("claude-3-5-sonnet-20241022", 3.0, 15.0),
        ("claude-3-5-haiku-latest", 0.8, 4.0),
        ("claude-3-haiku-20240307", 0.25, 1.25),
        ("claude-sonnet-4-20250514", 3.0, 15.0),
        ("claude-sonnet-4-5-20250929", 3.0, 15.0),
        ("claude-opus-4-20250514", 15.0, 75.0),
        ("claude-opus-4-1-20250805", 15.0, 75.0),
        ("claude-opus-4-5-20251101", 5.0, 25.0),
        ("claude-haiku-4-5-20251001", 1.0, 5.0),
        ("gemini-2.5-pro", 1.25, 10.0),
        ("gemini-2.5-pro-preview-05-06", 1.25, 10.0),
        ("gemini-2.5-flash", 0.3, 2.5),
        ("gemini-2.5-flash-lite-preview-06-17", 0.1, 0.4),
        ("gemini-2.0-flash-001", 0.1, 0.4),
        ("gemini-2.0-flash-lite-001", 0.075, 0.3),
        ("gemini-1.5-flash-8b-001", 0.0375, 0.15),
        ("command-r-08-2024", 0.15, 0.6),
        ("command-r-plus", 2.5, 10.0),
        ("deepseek-chat", 0.28, 0.42),
        ("grok-3-mini", 0.3, 0.5),
        ("grok-3-mini-fast", 0.6, 4.0),
        ("grok-4-0709", 3.0, 15.0),
        ("grok-4-fast-reasoning", 0.2, 0.5),
    ];
    for (model, input, output) in table {
        assert_eq!(list_price(model, "openai_compatible"), Some((input, output)), "{model}");
        assert_eq!(list_price(&model.to_uppercase(), "openai_compatible"), Some((input, output)), "{model}");
    }
}

#[test]
fn a_price_is_never_guessed() {
    let unknown = [
        // Priced by what the tokens are: speech, pictures.
        "gpt-4o-audio-preview-2024-12-17",
        "gpt-4o-mini-realtime-preview",
        "gpt-4o-transcribe",
        "gpt-image-1",
        "gemini-2.5-flash-image",
        "gemini-2.5-pro-preview-tts",
        // Not in the table, though its beginning is.
        "gpt-4o-mini-2",
        "gpt-5-ultra",
        "gpt-55",
        "o1-next",
        "claude-opus-4-9",
        "claude",
        "grok-5",
        // Somebody's own.
        "meta-llama/Llama-3.1-8B-Instruct",
        "acme/gpt-4o-distilled",
        "my-gpt-4o",
        "llama-3.3-70b-versatile",
        "openai/gpt-oss-120b",
        "mistral-nemo",
        "openai/",
        "/",
        "",
        // At no charge.
        "deepseek/deepseek-chat:free",
    ];
    for model in unknown {
        assert_eq!(list_price(model, "openai_compatible"), None, "{model}");
    }
    assert_eq!(list_price(&format!("{}/gpt-4o", "x".repeat(300)), "openai"), None);
}

#[test]
fn prefixes_resolve() {
    let table = [
        ("openai/gpt-4o", (2.5, 10.0)),
        ("openrouter/openai/gpt-4o-mini", (0.15, 0.6)),
        ("azure/gpt-35-turbo", (0.5, 1.5)),
        ("models/gemini-2.5-flash", (0.3, 2.5)),
        ("publishers/google/models/gemini-2.0-flash-001", (0.1, 0.4)),
        ("anthropic/claude-3.5-sonnet", (3.0, 15.0)),
        ("claude-sonnet-4@20250514", (3.0, 15.0)),
        ("anthropic.claude-3-haiku-20240307-v1:0", (0.25, 1.25)),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", (3.0, 15.0)),
        ("eu.anthropic.claude-opus-4-1-20250805-v1:0", (15.0, 75.0)),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-haiku-4-5-20251001-v1:0", (1.0, 5.0)),
        ("us.amazon.nova-pro-v1:0", (0.8, 3.2)),
        ("amazon.nova-lite-v1:0:300k", (0.06, 0.24)),
    ];
    for (model, price) in table {
        assert_eq!(list_price(model, "openai_compatible"), Some(price), "{model}");
    }
}

#[test]
fn open_weights_have_a_price_only_with_a_host() {
    assert_eq!(list_price("llama-3.3-70b-versatile", "groq"), Some((0.59, 0.79)));
    assert_eq!(list_price("openai/gpt-oss-120b", "groq"), Some((0.15, 0.6)));
    assert_eq!(list_price("open-mistral-nemo", "mistral"), Some((0.15, 0.15)));
    assert_eq!(list_price("open-mistral-nemo", "ollama"), None);
    // Self-hosted servers may call their models what they like.
    assert_eq!(list_price("gpt-4o", "vllm"), None);
    assert_eq!(list_price("gpt-4o", "openai"), Some((2.5, 10.0)));
}

#[test]
fn every_name_in_the_table_finds_its_own_row_and_no_pattern_stands_twice() {
    let mut seen = HashSet::new();
    for (pattern, rates, provider) in prices::patterns() {
        assert!(!pattern.is_empty() && seen.insert(pattern), "{pattern}");
        let model = pattern.replace('*', "");
        let found = Prices::default().rates(&[&model], provider.unwrap_or("openai_compatible"));
        assert_eq!(found, Some(rates), "{pattern}");
        assert!(rates.input > 0.0 && rates.cached > 0.0 && rates.cached <= rates.input, "{pattern}");
        assert!(rates.output == 0.0 || rates.output >= rates.input, "{pattern}");
        assert!(rates.cache_write >= rates.input, "{pattern}");
    }
}

#[test]
fn own_prices_override_in_order_on_every_name_of_the_model() {
    let prices = Prices::new(vec![own("team-*", 1.0, 2.0), own("GPT-4o*", 3.0, 4.0), own("*", 5.0, 6.0)]);
    let rate = |models: &[&str]| prices.rates(models, "vllm").map(|rates| rates.input);
    assert_eq!(rate(&["gpt-4o-2024-08-06", "team-chat"]), Some(3.0));
    assert_eq!(rate(&["openai/gpt-4o"]), Some(3.0));
    assert_eq!(rate(&["team-gpt-4o"]), Some(1.0));
    assert_eq!(rate(&["anything"]), Some(5.0));
    assert_eq!(rate(&[]), None);
    // An alias that the configuration prices wins over the list price of the model behind it.
    let prices = Prices::new(vec![own("team-chat", 1.0, 2.0)]);
    let rates = prices.rates(&["gpt-4o-2024-08-06", "team-chat"], "openai");
    assert_eq!(rates.map(|rates| rates.input), Some(1.0));
    let rates = prices.rates(&["nameless", "gpt-4o"], "openai");
    assert_eq!(rates.map(|rates| rates.input), Some(2.5));
}

#[test]
fn stars_stand_for_any_characters() {
    let table = [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("a*", "a", true),
        ("a*b*c", "axxbxxc", true),
        ("a*b*c", "abc", true),
        ("a*b*c", "acb", false),
        ("*b*", "abc", true),
        ("a*a", "a", false),
        ("*ab", "aab", true),
        ("a*bb", "abbb", true),
        ("gpt*", "GPT-4", true),
        ("é*", "été", true),
        ("*t", "été", false),
        ("a**b", "ab", true),
    ];
    for (pattern, name, expected) in table {
        assert_eq!(pattern::matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn cached_tokens_have_their_own_price() {
    let usage = Usage { cache_read: Some(600), cache_write: Some(300), ..usage(1000, 10) };
    let cost = Prices::default().cost(&["claude-sonnet-4-5"], "anthropic", &usage).unwrap();
    let expected = (100.0 * 3.0 + 600.0 * 0.3 + 300.0 * 3.75) / 1e6;
    assert!((cost.input - expected).abs() < 1e-12, "{cost:?}");
    assert!((cost.output - 10.0 * 15.0 / 1e6).abs() < 1e-12);
    assert_eq!(cost.total, cost.input + cost.output);
    let own = Prices::new(vec![Price { cached: Some(1.0), ..own("m", 2.0, 0.0) }]);
    let cost = own.cost(&["m"], "openai", &usage).unwrap();
    assert!((cost.total - (600.0 + 400.0 * 2.0) / 1e6).abs() < 1e-12);
}

#[test]
fn without_a_count_or_a_price_there_is_no_cost() {
    let prices = Prices::default();
    assert_eq!(prices.cost(&["gpt-4o"], "openai", &usage(None, None)), None);
    assert_eq!(prices.cost(&["unheard-of"], "openai", &usage(1, 1)), None);
    // Embeddings have no output; a count of 0 costs 0.
    let cost = prices.cost(&["text-embedding-3-small"], "openai", &usage(1_000_000, None));
    assert_eq!(cost, Some(Cost { input: 0.02, output: 0.0, total: 0.02 }));
    assert_eq!(prices.cost(&["gpt-4o"], "openai", &usage(0, 0)), Some(Cost::default()));
}

proptest! {
    #[test]
    fn a_cost_is_never_negative_nor_infinite(
        input in any::<Option<u64>>(),
        output in any::<Option<u64>>(),
        cache_read in any::<Option<u64>>(),
        cache_write in any::<Option<u64>>(),
        rates in any::<[f64; 3]>(),
        small in 0u64..5,
    ) {
        let usage = Usage { input, output, cache_read, cache_write, ..Usage::default() };
        let tiny = Usage { input: input.map(|_| small), ..usage };
        let price = Price { model: "*".into(), input: rates[0], output: rates[1], cached: Some(rates[2]) };
        for prices in [Prices::default(), Prices::new(vec![price])] {
            for usage in [usage, tiny] {
                if let Some(cost) = prices.cost(&["claude-sonnet-4-5"], "anthropic", &usage) {
                    for amount in [cost.input, cost.output, cost.total] {
                        prop_assert!(amount >= 0.0 && amount.is_finite());
                    }
                }
            }
        }
    }

    #[test]
    fn a_pattern_made_from_a_name_matches_it(name in "[a-c*é]{0,12}", stars in prop::collection::vec(any::<(usize, usize)>(), 0..4)) {
        let name = name.replace('*', "");
        let mut pattern: Vec<String> = name.chars().map(String::from).collect();
        for (at, len) in stars {
            if !pattern.is_empty() {
                let at = at % pattern.len();
                let end = at + (len % 4).min(pattern.len() - at);
                pattern.splice(at..end, ["*".to_owned()]);
            }
        }
        prop_assert!(pattern::matches(&pattern.concat(), &name));
    }

    #[test]
    fn any_name_is_answered(model in "\\PC{0,40}", pattern in "\\PC{0,20}") {
        let prices = Prices::new(vec![own(&pattern, 1.0, 1.0)]);
        let _ = prices.rates(&[&model], "openai");
    }
}
