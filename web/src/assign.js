/**
 * The assignment of rows to columns whose sum of costs is smallest, where leaving a row and a column out costs `limit`.
 *
 * Shortest augmenting paths (Jonker & Volgenant 1987), as the `lap` package does it for Python with `cost_limit`.
 * @param {number[][]} costs n rows of m columns @param {number} limit
 * @returns {number[]} the column of each row, -1 for none
 */
export function assign(costs, limit) {
  const [n, m] = [costs.length, costs[0]?.length ?? 0];
  const size = n + m; // each row has a column of its own, and each column a row, to be left out with
  const cost = (/** @type {number} */ row, /** @type {number} */ column) => {
    if (row < n && column < m) return costs[row][column];
    return row >= n && column >= m ? 0 : limit / 2;
  };
  const rowOf = new Array(size).fill(-1);
  const rowPrice = new Array(size).fill(0);
  const columnPrice = new Array(size).fill(0);
  for (let start = 0; start < size; start++) {
    const distance = new Array(size).fill(Infinity);
    const from = new Array(size).fill(-1); // the column before on the shortest path
    const done = new Array(size).fill(false);
    let [row, column, length] = [start, -1, 0];
    while (row >= 0) {
      let nearest = -1;
      for (let next = 0; next < size; next++) {
        if (done[next]) continue;
        const reached = length + cost(row, next) - rowPrice[row] - columnPrice[next];
        if (reached < distance[next]) [distance[next], from[next]] = [reached, column];
        if (nearest < 0 || distance[next] < distance[nearest]) nearest = next;
      }
      [column, length] = [nearest, distance[nearest]];
      done[column] = true;
      row = rowOf[column];
    }
    for (let each = 0; each < size; each++) {
      if (!done[each] || each === column) continue;
      rowPrice[rowOf[each]] += length - distance[each];
      columnPrice[each] -= length - distance[each];
    }
    rowPrice[start] += length;
    for (; column >= 0; column = from[column]) rowOf[column] = from[column] < 0 ? start : rowOf[from[column]];
  }
  const columnOf = new Array(n).fill(-1);
  rowOf.forEach((row, column) => {
    if (row < n && column < m) columnOf[row] = column;
  });
  return columnOf;
}
