//! The plans that the program brings along, by name.

const PLANS: &[(&str, &str)] = &[
    ("digits", include_str!("../../../../plans/digits.toml")),
    ("table1", include_str!("../../../../plans/table1.toml")),
    ("table2", include_str!("../../../../plans/table2.toml")),
    ("table3", include_str!("../../../../plans/table3.toml")),
    ("cifar10-svhn-d", include_str!("../../../../plans/cifar10-svhn-d.toml")),
    ("cifar10-svhn-c", include_str!("../../../../plans/cifar10-svhn-c.toml")),
    ("cifar10-gradient-scales", include_str!("../../../../plans/cifar10-gradient-scales.toml")),
    ("flexnet-digits", include_str!("../../../../plans/flexnet-digits.toml")),
    ("flexnet-cifar10", include_str!("../../../../plans/flexnet-cifar10.toml")),
    ("cifar10-first-last", include_str!("../../../../plans/cifar10-first-last.toml")),
    ("hbnn-average-bits", include_str!("../../../../plans/hbnn-average-bits.toml")),
    ("groupnet-cifar10", include_str!("../../../../plans/groupnet-cifar10.toml")),
    ("bitpruning-svhn-d", include_str!("../../../../plans/bitpruning-svhn-d.toml")),
];

/// All names.
pub fn names() -> Vec<&'static str> {
    PLANS.iter().map(|(name, _)| *name).collect()
}

/// The text of the plan called `name`.
pub fn find(name: &str) -> Option<&'static str> {
    PLANS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
