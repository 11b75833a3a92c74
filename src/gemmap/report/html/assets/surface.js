/* A surface of one level through a volume: naive surface nets (Gibson 1998). One vertex in every cell that the level
   passes, at the mean of its crossings with the cell's edges, and a quadrilateral for every edge of the grid that it
   crosses. Volumes are [z][y][x], x fastest; positions come out in voxels, x, y, z. */
const SURFACE = (() => {
  /* Value and slope between voxels. */
  function sampler({ shape: [nz, ny, nx], values }) {
    return (x, y, z) => {
      const i = Math.max(0, Math.min(nx - 2, Math.floor(x)));
      const j = Math.max(0, Math.min(ny - 2, Math.floor(y)));
      const k = Math.max(0, Math.min(nz - 2, Math.floor(z)));
      const u = Math.max(0, Math.min(1, x - i)), v = Math.max(0, Math.min(1, y - j)), w = Math.max(0, Math.min(1, z - k));
      const at = (k * ny + j) * nx + i, up = nx * ny;
      const row = (p) => values[p] * (1 - u) + values[p + 1] * u;
      return (row(at) * (1 - v) + row(at + nx) * v) * (1 - w) + (row(at + up) * (1 - v) + row(at + up + nx) * v) * w;
    };
  }

  function extract(volume, level) {
    const { shape: [nz, ny, nx], values } = volume;
    const cells = new Int32Array(nx * ny * nz).fill(-1);
    const positions = [], triangles = [];
    const corners = [0, 1, nx, nx + 1, nx * ny, nx * ny + 1, nx * ny + nx, nx * ny + nx + 1];
    const edges = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7]];
    for (let z = 0; z < nz - 1; z++) {
      for (let y = 0; y < ny - 1; y++) {
        for (let x = 0; x < nx - 1; x++) {
          const at = (z * ny + y) * nx + x;
          let inside = 0;
          for (let c = 0; c < 8; c++) if (values[at + corners[c]] > level) inside |= 1 << c;
          if (inside === 0 || inside === 255) continue;
          let sx = 0, sy = 0, sz = 0, n = 0;
          for (const [a, b] of edges) {
            if (((inside >> a) & 1) === ((inside >> b) & 1)) continue;
            const va = values[at + corners[a]], vb = values[at + corners[b]];
            const t = (level - va) / (vb - va);
            sx += (a & 1) + t * ((b & 1) - (a & 1));
            sy += ((a >> 1) & 1) + t * (((b >> 1) & 1) - ((a >> 1) & 1));
            sz += ((a >> 2) & 1) + t * (((b >> 2) & 1) - ((a >> 2) & 1));
            n++;
          }
          cells[at] = positions.length / 3;
          positions.push(x + sx / n, y + sy / n, z + sz / n);
          // Edges from this voxel along each axis, with the four cells about them.
          const first = inside & 1;
          const quad = (crossed, p, q) => {
            if (crossed === first) return;
            const [a, b, c, d] = [cells[at], cells[at - p], cells[at - p - q], cells[at - q]];
            if (first) triangles.push(a, b, c, a, c, d);
            else triangles.push(a, c, b, a, d, c);
          };
          if (y > 0 && z > 0) quad((inside >> 1) & 1, nx, nx * ny);
          if (x > 0 && z > 0) quad((inside >> 2) & 1, nx * ny, 1);
          if (x > 0 && y > 0) quad((inside >> 4) & 1, 1, nx);
        }
      }
    }
    return { positions: new Float32Array(positions), triangles: new Uint32Array(triangles) };
  }

  /* Outward normals: against the slope of the volume. */
  function normals(volume, positions) {
    const value = sampler(volume);
    const found = new Float32Array(positions.length);
    for (let i = 0; i < positions.length; i += 3) {
      const [x, y, z] = [positions[i], positions[i + 1], positions[i + 2]];
      const gx = value(x - 0.7, y, z) - value(x + 0.7, y, z);
      const gy = value(x, y - 0.7, z) - value(x, y + 0.7, z);
      const gz = value(x, y, z - 0.7) - value(x, y, z + 0.7);
      const length = Math.hypot(gx, gy, gz) || 1;
      found.set([gx / length, gy / length, gz / length], i);
    }
    return found;
  }

  /* Triangles of the pieces that have at least this part of the vertices of the largest one. */
  function withoutDust(triangles, count, part) {
    const parent = Uint32Array.from({ length: count }, (_, i) => i);
    const root = (i) => {
      while (parent[i] !== i) { parent[i] = parent[parent[i]]; i = parent[i]; }
      return i;
    };
    for (let t = 0; t < triangles.length; t += 3) {
      const a = root(triangles[t]);
      parent[root(triangles[t + 1])] = a;
      parent[root(triangles[t + 2])] = a;
    }
    const sizes = new Uint32Array(count);
    for (let i = 0; i < count; i++) sizes[root(i)]++;
    const least = part * sizes.reduce((a, b) => Math.max(a, b), 0);
    const kept = [];
    for (let t = 0; t < triangles.length; t += 3) {
      if (sizes[root(triangles[t])] >= least) kept.push(triangles[t], triangles[t + 1], triangles[t + 2]);
    }
    return new Uint32Array(kept);
  }

  return { extract, normals, sampler, withoutDust };
})();
