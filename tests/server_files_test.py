"""models.config and batching.config, as TF Serving parses them."""

from concurrent import futures

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from google.protobuf import message_factory
from google.protobuf import text_format
from google.protobuf import wrappers_pb2

from ctr_codistill.errors import InputError
from ctr_codistill.exporting import server_files
from ctr_codistill.exporting.server_files import Batching
from ctr_codistill.exporting.server_files import Served


def _batching_parameters():
  """Returns TF Serving's BatchingParameters, which its client API lacks.

  From tensorflow_serving/servables/tensorflow/session_bundle_config.proto.
  """
  file = descriptor_pb2.FileDescriptorProto(
    name="session_bundle_config.proto", package="tensorflow.serving"
  )
  file.syntax = "proto3"
  file.dependency.append("google/protobuf/wrappers.proto")
  message = file.message_type.add(name="BatchingParameters")
  kinds = descriptor_pb2.FieldDescriptorProto
  for number, name in enumerate(
    [
      "max_batch_size",
      "batch_timeout_micros",
      "max_enqueued_batches",
      "num_batch_threads",
    ],
    start=1,
  ):
    message.field.add(
      name=name,
      number=number,
      type=kinds.TYPE_MESSAGE,
      type_name=".google.protobuf.Int64Value",
      label=kinds.LABEL_OPTIONAL,
    )
  message.field.add(
    name="allowed_batch_sizes",
    number=6,
    type=kinds.TYPE_INT64,
    label=kinds.LABEL_REPEATED,
  )
  pool = descriptor_pool.DescriptorPool()
  wrappers = descriptor_pb2.FileDescriptorProto()
  wrappers_pb2.DESCRIPTOR.CopyToProto(wrappers)
  pool.Add(wrappers)
  pool.Add(file)
  found = pool.FindMessageTypeByName("tensorflow.serving.BatchingParameters")
  return message_factory.GetMessageClass(found)()


def test_a_model_is_listed_once_and_others_stay(tmp_path):
  server_files.write_models(tmp_path, Served("clicks", "/models/clicks"))
  server_files.write_models(tmp_path, Served("views", "/models/views", "all"))
  path = server_files.write_models(
    tmp_path, Served("clicks", "/other/clicks", "latest:2")
  )
  clicks, views = server_files.read_models(path).model_config_list.config
  assert (clicks.name, clicks.base_path) == ("clicks", "/other/clicks")
  assert clicks.model_platform == "tensorflow"
  assert clicks.model_version_policy.latest.num_versions == 2
  assert views.model_version_policy.HasField("all")


def test_versions_can_be_pinned(tmp_path):
  path = server_files.write_models(
    tmp_path, Served("clicks", "/models/clicks", "specific:3,12")
  )
  (one,) = server_files.read_models(path).model_config_list.config
  assert one.model_version_policy.specific.versions == [3, 12]


def test_of_a_listed_model_its_path_and_policy_alone_are_changed(tmp_path):
  (tmp_path / "models.config").write_text("""
    model_config_list {
      config {
        name: "clicks" base_path: "/x" model_platform: "other"
        version_labels { key: "stable" value: 1 }
        logging_config { sampling_config { sampling_rate: 0.5 } }
        model_version_policy { specific { versions: 1 } }
      }
    }""")
  path = server_files.write_models(tmp_path, Served("clicks", "/y", "latest:2"))
  (one,) = server_files.read_models(path).model_config_list.config
  assert (one.base_path, one.model_platform) == ("/y", "other")
  assert one.version_labels == {"stable": 1}
  assert one.logging_config.sampling_config.sampling_rate == 0.5
  assert not one.model_version_policy.HasField("specific")
  assert one.model_version_policy.latest.num_versions == 2


def test_models_that_are_listed_at_once_are_all_listed(tmp_path):
  def write(number):
    served = Served(f"model-{number}", "/models")
    server_files.write_models(tmp_path, served)

  with futures.ThreadPoolExecutor(9) as pool:
    list(pool.map(write, range(9)))
  config = server_files.read_models(tmp_path / "models.config")
  listed = {one.name for one in config.model_config_list.config}
  assert listed == {f"model-{i}" for i in range(9)}


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("custom_model_config { }", "model_config_list, has a custom_model_config"),
    (
      "model_config_list {"
      ' config { name: "clicks" } config { name: "clicks" } }',
      "should list clicks once, lists it 2 times",
    ),
  ],
)
def test_what_cannot_be_changed_is_refused_and_stays(tmp_path, text, said):
  (tmp_path / "models.config").write_text(text)
  served = Served("clicks", "/models/clicks")
  for call in (server_files.check_models, server_files.write_models):
    with pytest.raises(InputError, match=said):
      call(tmp_path, served)
  assert (tmp_path / "models.config").read_text() == text


@pytest.mark.parametrize(
  ("versions", "kept", "said"),
  [
    ("specific:2,99", None, r"be there, \[2, 3\], names 99"),
    ("specific:1", 2, r"be there, \[2, 3\], names 1"),
    ("latest:3", 2, "should be at most latest:2, for 2 are kept"),
  ],
)
def test_versions_that_will_not_be_there_are_refused(versions, kept, said):
  with pytest.raises(InputError, match=said):
    Served("clicks", "/models/clicks", versions).check([2, 3], kept)
  Served("clicks", "/models/clicks", "specific:2,3").check([2, 3], 2)
  Served("clicks", "/models/clicks", "latest:2").check([3], 2)
  Served("clicks", "/models/clicks", "all").check([3], 1)


@pytest.mark.parametrize(
  "versions", ["latest", "latest:0", "latest:1,2", "specific:", "some", "all:1"]
)
def test_other_policies_are_refused(versions):
  with pytest.raises(InputError, match=f"latest:N, all .* is '{versions}'"):
    Served("clicks", "/models/clicks", versions)


def test_a_path_is_absolute():
  with pytest.raises(InputError, match="absolute, is 'clicks'"):
    Served("clicks", "clicks")
  assert Served("clicks", "s3://bucket/clicks").numbers == (1,)


def test_what_is_no_list_of_models_is_not_overwritten(tmp_path):
  (tmp_path / "models.config").write_text("model_list { }")
  with pytest.raises(InputError, match=r"models\.config should list models"):
    server_files.write_models(tmp_path, Served("clicks", "/models/clicks"))
  assert (tmp_path / "models.config").read_text() == "model_list { }"


def test_batching_is_what_tf_serving_parses(tmp_path):
  batching = Batching(512, 2000, queue=8, threads=4, sizes=(64, 512))
  path = server_files.write_batching(tmp_path, batching)
  found = text_format.Parse(path.read_text(), _batching_parameters())
  assert found.max_batch_size.value == 512
  assert found.batch_timeout_micros.value == 2000
  assert found.max_enqueued_batches.value == 8
  assert found.num_batch_threads.value == 4
  assert found.allowed_batch_sizes == [64, 512]


@pytest.mark.parametrize(
  ("given", "said"),
  [
    ({"most": 0}, "most should be >= 1, is 0"),
    ({"wait_us": -1}, "wait_us should be >= 0, is -1"),
    ({"sizes": (64, 32, 1024)}, r"ascend to 1024, are \[64, 32, 1024\]"),
    ({"sizes": (32, 64)}, r"ascend to 1024, are \[32, 64\]"),
  ],
)
def test_batching_that_a_server_refuses_is_refused(given, said):
  with pytest.raises(InputError, match=said):
    Batching(**given)
