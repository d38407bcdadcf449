//! `groupnet search`: the partitions of a model's blocks into groups, trained one by one as a sweep.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use graph::{FULL_PRECISION, Partition, Structure};
use kernels::Random;

use super::sweep::{Course, carry_out};
use crate::cli::groupnet::{GroupnetArgs, GroupnetCommand, SearchArgs};
use crate::config::{Config, DEFAULT_MODEL};
use crate::exit::Failure;
use crate::models::{self, ModelInput};
use crate::output;
use crate::settings::Settings;
use crate::sweep::plan::Plan;

/// Networks of more blocks have more partitions than are counted.
const MOST_BLOCKS: usize = 32;
/// Draws for one candidate within the budget, before the search says that there are none.
const MOST_DRAWS: u64 = 10_000;

/// One way to build the model.
#[derive(Clone, Debug, PartialEq)]
struct Candidate {
    structure: Structure,
    /// Million pairs of bits that the quantized layers multiply for an image.
    cost: f64,
}

/// Runs one verb.
///
/// # Errors
/// Settings that are refused, a model without blocks, no candidate within the budget, and those of a sweep.
pub fn run(args: GroupnetArgs) -> Result<(), Failure> {
    let GroupnetCommand::Search(args) = args.command;
    let place = args.output_dir.clone().unwrap_or_else(|| {
        let model = args.settings.model.as_deref().unwrap_or(DEFAULT_MODEL);
        Path::new("sweeps").join(format!("groupnet-{model}"))
    });
    let candidates = candidates(&args)?;
    if args.list {
        for Candidate { structure, cost } in &candidates {
            let Structure { partition, bases, .. } = structure;
            output::result(&format!(
                "{partition} of {bases} bases: {cost:.2} million pairs of bits an image"
            ))?;
        }
    }
    let plan = plan(&args, &candidates, place)?;
    carry_out(&plan, &Course { shard: None, jobs: args.jobs, list: args.list, json: args.json })
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage { message: message.into() }
}

/// What is trained: every partition with every number of bases within the budget, or as many as are wanted of them.
fn candidates(args: &SearchArgs) -> Result<Vec<Candidate>, Failure> {
    let settings = &args.settings;
    if settings.structure.is_some() {
        return Err(usage("--structure is what groupnet search chooses; leave it away"));
    }
    if let Some(budget) = args.budget.filter(|budget| !(budget.is_finite() && *budget > 0.0)) {
        return Err(usage(format!("--budget {budget}; a number of millions above 0")));
    }
    // Any structure makes the other flags of bases sound.
    let whole = Settings { structure: Some("v3".to_owned()), ..settings.clone() };
    let config = super::resolve(whole, Settings::default())?;
    let structure = config.structure().expect("it is set above");
    let bases = if args.try_bases.is_empty() { vec![structure.bases] } else { args.try_bases.clone() };
    let usual = ModelInput::usual(&config.model, None, None);
    let blocks = models::build(&config.model, &usual, config.bits())?.network.blocks().len();
    if blocks == 0 || blocks > MOST_BLOCKS {
        return Err(usage(format!("{} has {blocks} blocks; 1 to {MOST_BLOCKS} are searched", config.model)));
    }
    if structure.soft && blocks == 1 {
        return Err(usage(format!(
            "--soft joins the blocks of a group, and {} has one; leave it away",
            config.model
        )));
    }
    let all = (1u64 << (blocks - 1)) * bases.len() as u64;
    let make = |number: u64| -> Result<Candidate, Failure> {
        let partition = partition(number / bases.len() as u64, blocks);
        let bases = bases[(number % bases.len() as u64) as usize];
        let structure = Structure { partition, bases, ..structure.clone() };
        Ok(Candidate { cost: cost(&config, &usual, &structure)?, structure })
    };
    let fits = |candidate: &Candidate| args.budget.is_none_or(|budget| candidate.cost <= budget);
    // Soft connections join blocks of one group, which the last partition has nowhere.
    let alone = (1u64 << (blocks - 1)) - 1;
    let usable = |number: u64| !structure.soft || number / bases.len() as u64 != alone;
    let wanted = u64::from(args.candidates);
    let mut found = Vec::new();
    if all <= wanted {
        for number in (0..all).filter(|number| usable(*number)) {
            found.extend(Some(make(number)?).filter(fits));
        }
    } else {
        let (mut random, mut drawn) = (Random::new(args.draw_seed), BTreeSet::new());
        for _ in 0..MOST_DRAWS {
            let number = (u64::from(random.word()) << 32 | u64::from(random.word())) % all;
            if (found.len() as u64) < wanted && usable(number) && drawn.insert(number) {
                found.extend(Some(make(number)?).filter(fits));
            }
        }
    }
    if found.is_empty() {
        return Err(usage("no candidate is within --budget; --list without it shows what they cost"));
    }
    output::note(&format!("{} of {all} candidates, {blocks} blocks", found.len()));
    Ok(found)
}

/// Partition `number` of `blocks` blocks: bit i says that a group ends behind block i.
fn partition(number: u64, blocks: usize) -> Partition {
    let mut groups = vec![0];
    for block in 0..blocks {
        *groups.last_mut().expect("never empty") += 1;
        if block + 1 < blocks && number >> block & 1 == 1 {
            groups.push(0);
        }
    }
    Partition::Groups(groups)
}

fn cost(config: &Config, input: &ModelInput, structure: &Structure) -> Result<f64, Failure> {
    let model = models::build_by(&config.model, input, config.bits(), (&config.method(), Some(structure)))?;
    let width = |bits: u32| f64::from(if bits == FULL_PRECISION { 1 } else { bits });
    let pairs = model.network.summary().into_iter().filter_map(|layer| {
        layer.bits.map(|bits| layer.macs as f64 * width(bits.weight) * width(bits.activation))
    });
    Ok(pairs.sum::<f64>() / 1e6)
}

/// The sweep over the candidates.
fn plan(args: &SearchArgs, candidates: &[Candidate], place: PathBuf) -> Result<Plan, Failure> {
    let seeds =
        if args.seeds.is_empty() { vec![args.settings.seed.unwrap_or(0)] } else { args.seeds.clone() };
    let mut text = "title = \"Partitions into groups\"\n".to_owned();
    for Candidate { structure, .. } in candidates {
        let Structure { partition, bases, .. } = structure;
        text.push_str(&format!(
            "[[point]]\nstructure = \"{partition}\"\nbases = {bases}\nseed = {seeds:?}\n"
        ));
    }
    let flags = Settings { bases: None, seed: None, ..args.settings.clone() };
    let mut plan = Plan::parse(&text, "groupnet search", place, &flags)?;
    let SearchArgs { try_bases, budget, candidates, draw_seed, .. } = args;
    let list = |numbers: Vec<String>| numbers.join(",");
    let mut verb = format!("bitplane groupnet search --candidates {candidates} --draw-seed {draw_seed}");
    let bases = if try_bases.is_empty() { Vec::from_iter(args.settings.bases) } else { try_bases.clone() };
    if !bases.is_empty() {
        verb.push_str(&format!(" --try-bases {}", list(bases.iter().map(u32::to_string).collect())));
    }
    if let Some(budget) = budget {
        verb.push_str(&format!(" --budget {budget}"));
    }
    verb.push_str(&format!(" --seeds {}", list(seeds.iter().map(u64::to_string).collect())));
    plan.verb = verb;
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(model: &str) -> SearchArgs {
        let settings = Settings { model: Some(model.to_owned()), bases: Some(2), ..Settings::default() };
        SearchArgs {
            settings,
            try_bases: Vec::new(),
            budget: None,
            candidates: 32,
            draw_seed: 0,
            seeds: Vec::new(),
            output_dir: None,
            jobs: 1,
            list: false,
            json: false,
        }
    }

    fn texts(args: &SearchArgs) -> Vec<String> {
        let found = candidates(args).expect("candidates");
        found.iter().map(|c| format!("{}x{}", c.structure.partition, c.structure.bases)).collect()
    }

    #[test]
    fn small_networks_are_enumerated() {
        assert_eq!(texts(&args("resnet8")), ["3x2", "1,2x2", "2,1x2", "1,1,1x2"]);
        let several = SearchArgs { try_bases: vec![1, 3], ..args("digits") };
        assert_eq!(texts(&several), ["1x1", "1x3"]);
    }

    #[test]
    fn large_ones_are_drawn_by_seed() {
        let of = |draw_seed: u32| texts(&SearchArgs { draw_seed, candidates: 6, ..args("resnet20") });
        let (one, other) = (of(0), of(1));
        assert_eq!(one, of(0));
        assert_ne!(one, other);
        let distinct: BTreeSet<&String> = one.iter().collect();
        assert_eq!(distinct.len(), 6);
        assert!(one.iter().all(|text| {
            let groups = text.split_once('x').expect("bases").0;
            groups.split(',').map(|size| size.parse::<u32>().expect("a number")).sum::<u32>() == 9
        }));
    }

    #[test]
    fn a_budget_leaves_out_what_costs_more() {
        let try_bases = vec![1, 2, 4];
        let costs = |budget| -> Vec<f64> {
            let args = SearchArgs { try_bases: try_bases.clone(), budget, ..args("resnet8") };
            candidates(&args).expect("candidates").iter().map(|c| c.cost).collect()
        };
        let all = costs(None);
        let budget = all.iter().copied().fold(0.0, f64::max) / 2.0;
        let cheap = costs(Some(budget));
        assert_eq!(cheap, all.iter().copied().filter(|cost| *cost <= budget).collect::<Vec<_>>());
        assert!(!cheap.is_empty() && cheap.len() < all.len());
    }

    #[test]
    fn what_cannot_be_searched_is_refused_by_name() {
        let refused = |args: &SearchArgs| candidates(args).expect_err("refused").to_string();
        let settings = Settings { structure: Some("v1".to_owned()), ..args("resnet8").settings };
        assert!(refused(&SearchArgs { settings, ..args("resnet8") }).contains("--structure"));
        assert!(refused(&SearchArgs { budget: Some(1e-9), ..args("resnet8") }).contains("--budget"));
        assert!(refused(&SearchArgs { budget: Some(f64::NAN), ..args("resnet8") }).contains("--budget"));
        assert!(refused(&SearchArgs { try_bases: vec![0], ..args("resnet8") }).contains("0 bases"));
    }
}
