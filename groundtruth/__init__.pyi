from groundtruth.alignment import Alignment as Alignment
from groundtruth.alignment import Subspace as Subspace
from groundtruth.backdoor import Backdoor as Backdoor
from groundtruth.catalogue import build as build
from groundtruth.catalogue import testbeds as testbeds
from groundtruth.circuit import Circuit as Circuit
from groundtruth.circuit_testbed import CircuitTestbed as CircuitTestbed
from groundtruth.claim_report import ClaimReport as ClaimReport
from groundtruth.consistency import agreement as agreement
from groundtruth.consistency import stability as stability
from groundtruth.errors import GroundtruthError as GroundtruthError
from groundtruth.evaluation import evaluate as evaluate
from groundtruth.explanation import Dictionary as Dictionary
from groundtruth.generators.world_files import load_testbed as load_testbed
from groundtruth.generators.world_files import save_testbed as save_testbed
from groundtruth.methods.meta import meta_sae as meta_sae
from groundtruth.monitor import Monitor as Monitor
from groundtruth.prediction import Prediction as Prediction
from groundtruth.predictor import Predictor as Predictor
from groundtruth.probe import Probe as Probe
from groundtruth.ranked_dictionary import RankedDictionary as RankedDictionary
from groundtruth.report import Report as Report
from groundtruth.result import Result as Result
from groundtruth.runner import run_suite as run_suite
from groundtruth.score_data import Scoring as Scoring
from groundtruth.steering_vector import SteeringVector as SteeringVector
from groundtruth.stitching import stitch as stitch
from groundtruth.sweeps import sweep as sweep
from groundtruth.testbed import ActivationSubject as ActivationSubject
from groundtruth.testbed import Testbed as Testbed
from groundtruth.trials import CircuitScoring as CircuitScoring
from groundtruth.truth import FeatureTruth as FeatureTruth
from groundtruth.variable_testbed import VariableTestbed as VariableTestbed

__version__: str
__all__: list[str]
