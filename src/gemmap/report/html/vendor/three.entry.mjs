export {
  BufferAttribute, BufferGeometry, Color, DirectionalLight, DoubleSide, Group, HemisphereLight, IcosahedronGeometry,
  InstancedMesh, Matrix4, Mesh, MeshLambertMaterial, PerspectiveCamera, Quaternion, SRGBColorSpace, Scene, Vector3,
  WebGLRenderer,
} from "three";
export { TrackballControls } from "three/examples/jsm/controls/TrackballControls.js";
