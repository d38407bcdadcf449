// Workgroups are counted in one dimension; the host folds counts beyond 65,535 over x and y, so the last row may hold
// groups past the end and every kernel guards its tail.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.x + group.y * groups.x;
}
