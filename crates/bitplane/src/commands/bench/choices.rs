//! The words of `--kernels`.

use clap::ValueEnum;
use gpu::AdapterInfo;
use graph::KernelPlan;
use kernels::{Form, Product, Tactic};

use crate::exit::Failure;
use crate::kernel_choice::KernelChoice;
use crate::tuner::{AdapterKey, Cache};

/// A word of `--kernels` for one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// What a session with this choice would run.
    Session(KernelChoice),
    /// The f32 twin.
    Twin,
    /// Every candidate and the f32 twin.
    All,
    /// A kernel by name.
    Tactic(Tactic),
}

/// Reads words of `--kernels` for products.
///
/// # Errors
/// [`Failure::Usage`] with all words.
pub fn choices(words: &[String]) -> Result<Vec<Choice>, Failure> {
    words.iter().map(|word| choice(word)).collect()
}

fn choice(word: &str) -> Result<Choice, Failure> {
    match (word, KernelChoice::from_str(word, false)) {
        ("all", _) => Ok(Choice::All),
        ("twin", _) => Ok(Choice::Twin),
        (_, Ok(choice)) => Ok(Choice::Session(choice)),
        _ => word.parse().map(Choice::Tactic).map_err(|_| {
            let known: Vec<String> = KernelChoice::value_variants().iter().map(ToString::to_string).collect();
            let (word, known) = (data::printable(word), known.join(", "));
            let names = "names of kernels such as register, subgroup:8x4x32 or tile:16x16x4x4:carry-save";
            let message = format!("unknown kernels `{word}`; known are {known}, twin, all and {names}");
            Failure::Usage { message }
        }),
    }
}

/// The plan that a session with this choice follows on an adapter: what `tune` measured there, else a rule.
pub fn plan(choice: KernelChoice, adapter: &AdapterInfo) -> KernelPlan {
    Cache::of_user().load(&AdapterKey::from(adapter)).plan(choice.arithmetic())
}

/// The kernels for a product that the words ask for, each once.
///
/// # Errors
/// [`Failure::Usage`] for a kernel that does not compute this product on this adapter.
pub fn tactics(
    form: Form,
    product: &Product,
    choices: &[Choice],
    adapter: &AdapterInfo,
) -> Result<Vec<Tactic>, Failure> {
    let lanes = adapter.subgroup;
    let mut tactics = Vec::new();
    for choice in choices {
        let (name, found) = match choice {
            Choice::Twin => continue,
            Choice::All => ("all".to_owned(), Tactic::candidates(form, product, lanes)),
            Choice::Session(choice) => {
                let tactic = plan(*choice, adapter).tactic(form, product, lanes);
                let allowed = choice.arithmetic().is_none_or(|wanted| tactic.arithmetic() == wanted);
                (choice.to_string(), Some(tactic).filter(|_| allowed).into_iter().collect())
            }
            Choice::Tactic(tactic) => {
                let supported = tactic.supports(form, product, lanes);
                (tactic.to_string(), Some(*tactic).filter(|_| supported).into_iter().collect())
            }
        };
        if found.is_empty() {
            let subgroup =
                lanes.map_or("no subgroups of one size".to_owned(), |lanes| format!("subgroups of {lanes}"));
            let message = format!("no kernel `{name}` computes this product on this adapter with {subgroup}");
            return Err(Failure::Usage { message });
        }
        for tactic in found {
            if !tactics.contains(&tactic) {
                tactics.push(tactic);
            }
        }
    }
    Ok(tactics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kernels_or_errors_that_name_the_known_ones() {
        let words = ["auto", "bits", "twin", "all", "register"].map(str::to_owned);
        let all = choices(&words).unwrap();
        let [auto, bits] = [KernelChoice::Auto, KernelChoice::Bits].map(Choice::Session);
        assert_eq!(all, [auto, bits, Choice::Twin, Choice::All, Choice::Tactic(Tactic::Register)]);
        for word in ["", "fastest", "subgroup:0x0x0", "bits\u{1b}"] {
            let Err(Failure::Usage { message }) = choices(&[word.to_owned()]) else { panic!("{word}") };
            assert!(message.contains("known are auto, bits") && !message.contains('\u{1b}'), "{message}");
        }
    }
}
