/* The map and its Gaussians in 3-D, drawn by three.js (vendor/). Positions in Å from the map's origin, voxel N//2. */
const VIEWER = (() => {
  const holder = document.getElementById("scene-view");
  const of = REPORT["scene-view"];
  if (!holder || !of) return null;
  const find = (id) => document.getElementById(id);
  const status = find("scene-status");
  const waiting = holder.querySelector(".waiting");
  const DUST = 0.05;
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true, preserveDrawingBuffer: true });
  } catch {
    waiting.textContent = "This browser draws no 3-D (WebGL is off). The maps can be opened in ChimeraX.";
    document.querySelectorAll(".controls input, .controls button").forEach((input) => { input.disabled = true; });
    return null;
  }
  waiting.textContent = "Unpacking the map …";
  const canvas = renderer.domElement;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Map in 3-D. Arrow keys turn it, plus and minus zoom.");
  const scene = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(28, 1, 1, 1e5);
  camera.add(new THREE.DirectionalLight(0xffffff, 2.1));
  camera.children[0].position.set(0.5, 0.9, 1.2);
  scene.add(camera, new THREE.HemisphereLight(0xffffff, 0x777788, 1.5));
  const body = new THREE.Group();
  scene.add(body);
  const side = of.maps[0].shape[0] * of.voxel;
  const plain = new THREE.Color(0x4d9fd0);
  const material = new THREE.MeshLambertMaterial({ vertexColors: true, side: THREE.DoubleSide });
  let surface = null, ellipsoids = null, local = null, palette = null, gaussians = null;
  const volumes = new Map();
  const levels = new Map();

  const chosen = () => document.querySelector('input[name="scene-map"]:checked').value;
  const is = (id) => Boolean(find(id)?.checked);
  const ofMap = (name) => of.maps.find((map) => map.name === name);
  // The slider moves in squares: levels near the solvent lie close together.
  const toLevel = (map, t) => map.lowest + (map.highest - map.lowest) * t * t;
  const toSlider = (map, level) => Math.sqrt(Math.max(0, (level - map.lowest) / (map.highest - map.lowest || 1)));

  let waitingForFrame = false, sized = false;
  function render() {
    if (waitingForFrame) return;
    waitingForFrame = true;
    requestAnimationFrame(() => {
      waitingForFrame = false;
      controls.update();
      renderer.render(scene, camera);
      if (sized) holder.dataset.state = "ready";
    });
  }

  const controls = new THREE.TrackballControls(camera, canvas);
  Object.assign(controls, { rotateSpeed: 3, staticMoving: true, noPan: true, noZoom: true });
  controls.keys = [];
  canvas.style.touchAction = "pan-y";
  // The wheel belongs to the page until the picture is clicked.
  canvas.addEventListener("focus", () => { controls.noZoom = false; });
  canvas.addEventListener("blur", () => { controls.noZoom = true; });
  canvas.addEventListener("pointerdown", () => canvas.focus({ preventScroll: true }));
  for (const event of ["pointermove", "pointerup", "wheel"]) canvas.addEventListener(event, render);
  canvas.addEventListener("keydown", (event) => {
    const turns = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const zoom = { "+": 0.9, "=": 0.9, "-": 1.11 }[event.key];
    if (turns) {
      const [x, y] = turns;
      const axis = new THREE.Vector3(x, y, 0).applyQuaternion(camera.quaternion).normalize();
      body.rotateOnWorldAxis(axis, 0.15);
    } else if (zoom) camera.position.multiplyScalar(zoom);
    else return;
    event.preventDefault();
    render();
  });

  function reset() {
    body.quaternion.identity();
    controls.reset();
    camera.position.set(0, 0, 1.75 * side);
    camera.up.set(0, 1, 0);
    camera.lookAt(0, 0, 0);
    render();
  }

  async function volumeOf(name) {
    if (!volumes.has(name)) volumes.set(name, await unpack(ofMap(name)));
    return volumes.get(name);
  }

  /* Colour of every vertex, by local resolution or all alike. */
  function paint(positions) {
    const colours = new Float32Array(positions.length);
    if (!local || !is("scene-local")) {
      for (let i = 0; i < colours.length; i += 3) colours.set([plain.r, plain.g, plain.b], i);
      return colours;
    }
    const value = SURFACE.sampler(local);
    const grid = (p) => (p - of.local.first) / of.local.voxel;
    for (let i = 0; i < colours.length; i += 3) {
      const byte = value(grid(positions[i]), grid(positions[i + 1]), grid(positions[i + 2]));
      const entry = Math.min(palette.length - 1, Math.round((byte / 255) * (palette.length - 1)));
      const { r, g, b } = palette[entry];
      colours.set([r, g, b], i);
    }
    return colours;
  }

  async function drawSurface() {
    const map = ofMap(chosen());
    const volume = await volumeOf(map.name);
    if (map !== ofMap(chosen())) return;
    const level = levels.get(map.name) ?? map.first;
    const byte = (level - map.low) / map.step;
    const { positions, triangles } = SURFACE.extract(volume, byte);
    const slopes = SURFACE.normals(volume, positions);
    const middle = Math.floor(volume.shape[0] / 2);
    for (let i = 0; i < positions.length; i++) positions[i] = (positions[i] - middle) * of.voxel;
    const kept = is("scene-dust") ? SURFACE.withoutDust(triangles, positions.length / 3, DUST) : triangles;
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(positions, 3));
    geometry.setAttribute("normal", new THREE.BufferAttribute(slopes, 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(paint(positions), 3));
    geometry.setIndex(new THREE.BufferAttribute(kept, 1));
    surface?.geometry.dispose();
    if (!surface) body.add((surface = new THREE.Mesh(geometry, material)));
    surface.geometry = geometry;
    const seeThrough = is("scene-gaussians");
    Object.assign(material, { transparent: seeThrough, opacity: seeThrough ? 0.3 : 1, depthWrite: !seeThrough });
    material.needsUpdate = true;
    surface.renderOrder = 1;
    holder.dataset.triangles = kept.length / 3;
    holder.dataset.level = level;
    const sigma = `${(level / map.sigma).toFixed(1)} σ`;
    find("scene-level-text").textContent = `${level.toPrecision(3)} (${sigma})`;
    find("scene-level").setAttribute("aria-valuetext", `grey value ${level.toPrecision(3)}, ${sigma}`);
    status.textContent = `${map.title}, ${(kept.length / 3).toLocaleString("en")} triangles`;
    if (find("scene-legend")) find("scene-legend").hidden = !is("scene-local");
    render();
  }

  async function drawGaussians() {
    const count = find("scene-count");
    if (!count) return;
    count.disabled = !is("scene-gaussians");
    const shown = Number(count.value);
    find("scene-count-text").textContent =
      `${shown.toLocaleString("en")} heaviest of ${of.gaussians.total.toLocaleString("en")}`;
    holder.dataset.gaussians = is("scene-gaussians") ? shown : 0;
    if (is("scene-gaussians") && !ellipsoids) {
      gaussians ??= await unpack(of.gaussians);
      const { values: v, shape: [n] } = gaussians;
      const [centre, scale, turn] = of.gaussians.steps;
      const clay = new THREE.MeshLambertMaterial({ color: 0xd55e00 });
      ellipsoids = new THREE.InstancedMesh(new THREE.IcosahedronGeometry(1, 1), clay, n);
      const place = new THREE.Vector3(), size = new THREE.Vector3();
      const rotation = new THREE.Quaternion(), matrix = new THREE.Matrix4();
      for (let i = 0, p = 0; i < n; i++, p += 10) {
        place.set(v[p], v[p + 1], v[p + 2]).multiplyScalar(centre);
        size.set(v[p + 3], v[p + 4], v[p + 5]).multiplyScalar(scale);
        rotation.set(v[p + 7] * turn, v[p + 8] * turn, v[p + 9] * turn, v[p + 6] * turn).normalize();
        ellipsoids.setMatrixAt(i, matrix.compose(place, rotation, size));
      }
      ellipsoids.frustumCulled = false;
      body.add(ellipsoids);
    }
    if (ellipsoids) {
      ellipsoids.visible = is("scene-gaussians");
      ellipsoids.count = shown;
    }
    render();
  }

  function setSlider() {
    const map = ofMap(chosen());
    find("scene-level").value = 1000 * toSlider(map, levels.get(map.name) ?? map.first);
  }
  // One redraw at a time, and the last wish counts.
  let busy = false, again = false;
  async function redraw() {
    if (busy) { again = true; return; }
    busy = true;
    do { again = false; await drawSurface(); } while (again);
    busy = false;
  }
  find("scene-level").addEventListener("input", (event) => {
    const map = ofMap(chosen());
    const level = toLevel(map, event.target.value / 1000);
    // Grey values of the final map and the half-maps mean the same.
    const alike = ["map", "half1", "half2"];
    for (const name of alike.includes(map.name) ? alike : [map.name]) levels.set(name, level);
    redraw();
  });
  document.querySelectorAll('input[name="scene-map"]').forEach((radio) =>
    radio.addEventListener("change", () => { setSlider(); redraw(); }));
  for (const id of ["scene-dust", "scene-local"]) find(id)?.addEventListener("change", redraw);
  find("scene-gaussians")?.addEventListener("change", () => { drawGaussians(); redraw(); });
  find("scene-count")?.addEventListener("input", drawGaussians);
  find("scene-reset").addEventListener("click", reset);

  async function start() {
    if (of.local) {
      local = await unpack(of.local);
      const p = of.local.palette;
      palette = Array.from({ length: p.length / 3 }, (_, i) =>
        new THREE.Color().setRGB(p[3 * i] / 255, p[3 * i + 1] / 255, p[3 * i + 2] / 255, THREE.SRGBColorSpace));
    }
    setSlider();
    await redraw();
    await drawGaussians();
    waiting.remove();
    holder.append(canvas);
    new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = holder;
      renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
      renderer.setSize(width, height, false);
      camera.aspect = width / height;
      camera.updateProjectionMatrix();
      controls.handleResize();
      sized = true;
      render();
    }).observe(holder);
    reset();
  }
  start().catch((error) => {
    waiting.textContent = `The map cannot be shown: ${error.message}`;
    console.error(error);
  });
  return { camera, body };
})();
