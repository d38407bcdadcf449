//! Softmax cross-entropy with the mean over the batch, and the ranks that accuracy counts.

/// What a batch of logits gives.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxCrossEntropy {
    /// `-ln p[label]` of each sample; the loss of the batch is their mean.
    pub loss: Vec<f64>,
    /// The gradient of the mean loss, `(p - onehot) / samples`, as `[samples][classes]`.
    pub grad: Vec<f64>,
    /// Whether the label ranks first.
    pub top1: Vec<bool>,
    /// Whether the label ranks among the first five.
    pub top5: Vec<bool>,
}

/// `p = softmax(logits)` by rows of `logits[labels.len()][classes]`, shifted by the row's maximum.
///
/// # Panics
///
/// When a label is not below `classes`.
pub fn softmax_cross_entropy(logits: &[f64], labels: &[u32], classes: usize) -> SoftmaxCrossEntropy {
    let samples = labels.len();
    assert_eq!(logits.len(), samples * classes, "logits must be samples * classes");
    let mut result = SoftmaxCrossEntropy { loss: vec![], grad: vec![], top1: vec![], top5: vec![] };
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let label = label as usize;
        assert!(label < classes, "label {label} is not below {classes} classes");
        let max = row.iter().fold(f64::NEG_INFINITY, |max, &logit| max.max(logit));
        let sum: f64 = row.iter().map(|logit| (logit - max).exp()).sum();
        result.loss.push(sum.ln() - (row[label] - max));
        for (class, logit) in row.iter().enumerate() {
            let target = if class == label { 1.0 } else { 0.0 };
            result.grad.push(((logit - max).exp() / sum - target) / samples as f64);
        }
        let rank = rank(row, label);
        result.top1.push(rank < 1);
        result.top5.push(rank < 5);
    }
    result
}

/// What a batch of logits gives against the softmax of others.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftCrossEntropy {
    /// `-T^2 sum_c q[c] ln p[c]` of each sample; the loss of the batch is their mean.
    pub loss: Vec<f64>,
    /// The gradient of the mean loss for the logits, `T (p - q) / samples`, as `[samples][classes]`.
    pub grad: Vec<f64>,
}

/// `p = softmax(logits / T)` and `q = softmax(targets / T)` by rows of `classes`, at temperature T; the targets are
/// constants. The factor T^2 keeps the size of the gradient as T grows (Hinton et al. 2015, section 2).
///
/// # Panics
///
/// When the logits are not as many as the targets, or no whole rows.
pub fn soft_cross_entropy(
    logits: &[f64],
    targets: &[f64],
    classes: usize,
    temperature: f64,
) -> SoftCrossEntropy {
    assert_eq!(logits.len(), targets.len(), "every logit has a target");
    assert!(logits.len().is_multiple_of(classes), "logits must be samples * classes");
    let samples = logits.len() / classes;
    let mut result = SoftCrossEntropy { loss: vec![], grad: vec![] };
    for (row, target) in logits.chunks_exact(classes).zip(targets.chunks_exact(classes)) {
        let (p, q) = (log_softmax(row, temperature), log_softmax(target, temperature));
        let expected: f64 = p.iter().zip(&q).map(|(p, q)| q.exp() * p).sum();
        result.loss.push(-temperature * temperature * expected);
        let grad = |(p, q): (&f64, &f64)| temperature * (p.exp() - q.exp()) / samples as f64;
        result.grad.extend(p.iter().zip(&q).map(grad));
    }
    result
}

/// The sum of `(a - b)^2` and its gradient for a, `2 (a - b)`.
///
/// # Panics
///
/// When they differ in length.
pub fn squared_error(a: &[f64], b: &[f64]) -> (f64, Vec<f64>) {
    assert_eq!(a.len(), b.len(), "every value has a target");
    let apart: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    (apart.iter().map(|apart| apart * apart).sum(), apart.iter().map(|apart| 2.0 * apart).collect())
}

/// `ln softmax(row / temperature)`.
fn log_softmax(row: &[f64], temperature: f64) -> Vec<f64> {
    let max = row.iter().fold(f64::NEG_INFINITY, |max, &logit| max.max(logit));
    let shifted: Vec<f64> = row.iter().map(|logit| (logit - max) / temperature).collect();
    let log = shifted.iter().map(|x| x.exp()).sum::<f64>().ln();
    shifted.iter().map(|x| x - log).collect()
}

/// Logits that stand before the label: the greater ones, and equal ones of a lower index.
pub fn rank(row: &[f64], label: usize) -> usize {
    let before =
        |&(class, &logit): &(usize, &f64)| logit > row[label] || (logit == row[label] && class < label);
    row.iter().enumerate().filter(before).count()
}
