// Answers requests with an exported model, without Python, as TF Serving does.
//
//   load MODEL REQUESTS OUTPUT          answers each request once
//   load MODEL REQUESTS --seconds=S [--rate=R]     times them, in turn
//
// REQUESTS is a TFRecord of tensorflow.serving.PredictionLog, as a warm-up file
// is; OUTPUT becomes one of tensorflow.serving.PredictResponse, an empty one
// for a request that failed: its error is a line on stderr, and the status 3.
// With R, S * R requests come R times a second whether or not the one before is
// answered, and what they wait counts; else one comes when the last is answered.
//
// The messages of TF Serving are not in TensorFlow's library: the few fields
// that are needed are taken off the wire.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/cc/saved_model/util.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor.pb.h"
#include "tensorflow/core/lib/io/record_reader.h"
#include "tensorflow/core/lib/io/record_writer.h"
#include "tensorflow/core/platform/env.h"
#include "tensorflow/core/public/session.h"

namespace {

using Bytes = std::string;
using Clock = std::chrono::steady_clock;
using google::protobuf::io::CodedInputStream;

[[noreturn]] void Fail(const Bytes& why) {
  std::fprintf(stderr, "error: %s\n", why.c_str());
  std::exit(1);
}

void Check(const tensorflow::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

// Returns the length-delimited fields of a message: number and content.
std::vector<std::pair<int, Bytes>> Fields(const Bytes& message) {
  CodedInputStream in(reinterpret_cast<const uint8_t*>(message.data()),
                      message.size());
  std::vector<std::pair<int, Bytes>> found;
  while (uint32_t tag = in.ReadTag()) {
    uint64_t number;
    uint32_t size;
    if ((tag & 7) == 0 && in.ReadVarint64(&number)) continue;
    Bytes content;
    if ((tag & 7) != 2 || !in.ReadVarint32(&size) ||
        !in.ReadString(&content, size)) {
      Fail("a request should be a PredictionLog");
    }
    found.emplace_back(tag >> 3, std::move(content));
  }
  return found;
}

Bytes Field(const Bytes& message, int number) {
  for (auto& [found, content] : Fields(message)) {
    if (found == number) return content;
  }
  return "";
}

// Returns a message's length-delimited field as it is written.
Bytes Delimited(int number, const Bytes& content) {
  Bytes found;
  google::protobuf::io::StringOutputStream stream(&found);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.WriteTag(number << 3 | 2);
  out.WriteVarint32(content.size());
  out.WriteString(content);
  out.Trim();
  return found;
}

struct Request {
  Bytes signature;
  google::protobuf::Map<Bytes, tensorflow::TensorProto> inputs;
};

// PredictionLog.predict_log = 6, its request = 1; there model_spec = 1, whose
// signature_name = 3, and inputs = 2.
Request Parse(const Bytes& log) {
  const Bytes message = Field(Field(log, 6), 1);
  Request request;
  request.signature = Field(Field(message, 1), 3);
  if (request.signature.empty()) request.signature = "serving_default";
  for (auto& [number, entry] : Fields(message)) {
    if (number != 2) continue;
    tensorflow::TensorProto& value = request.inputs[Field(entry, 1)];
    if (!value.ParseFromString(Field(entry, 2))) Fail("an input is no tensor");
  }
  return request;
}

std::vector<Request> Read(const char* path) {
  std::unique_ptr<tensorflow::RandomAccessFile> file;
  Check(tensorflow::Env::Default()->NewRandomAccessFile(path, &file));
  tensorflow::io::SequentialRecordReader reader(file.get());
  std::vector<Request> found;
  tensorflow::tstring record;
  while (true) {
    const auto status = reader.ReadRecord(&record);
    if (tensorflow::errors::IsOutOfRange(status)) return found;
    Check(status);
    found.push_back(Parse(Bytes(record)));
  }
}

// What TF Serving does with a request: GetInputValues, then Session::Run.
class Model {
 public:
  explicit Model(const char* path) {
    Check(tensorflow::LoadSavedModel({}, {}, path,
                                     {"serve"},
                                     &bundle_));
  }

  tensorflow::Status Answer(const Request& request, Bytes* response) const {
    const auto& signatures = bundle_.GetSignatures();
    const auto found = signatures.find(request.signature);
    if (found == signatures.end()) {
      return tensorflow::errors::FailedPrecondition(
          "there is no signature ", request.signature);
    }
    const tensorflow::SignatureDef& signature = found->second;
    for (const auto& [name, value] : request.inputs) {
      if (!signature.inputs().count(name)) {
        return tensorflow::errors::InvalidArgument(
            "there is no input ", name, " in ", request.signature);
      }
    }
    std::vector<std::pair<Bytes, tensorflow::Tensor>> inputs;
    auto status = tensorflow::saved_model::GetInputValues(
        signature, request.inputs, inputs);
    if (!status.ok()) return status;
    std::vector<Bytes> names, tensors;
    for (const auto& [name, info] : signature.outputs()) {
      names.push_back(name);
      tensors.push_back(info.name());
    }
    std::vector<tensorflow::Tensor> outputs;
    status = bundle_.GetSession()->Run(inputs, tensors, {}, &outputs);
    for (size_t i = 0; status.ok() && response && i < names.size(); ++i) {
      tensorflow::TensorProto value;
      outputs[i].AsProtoTensorContent(&value);
      *response += Delimited(1, Delimited(1, names[i]) +
                                    Delimited(2, value.SerializeAsString()));
    }
    return status;
  }

 private:
  tensorflow::SavedModelBundle bundle_;
};

int Answers(const Model& model, const std::vector<Request>& requests,
            const char* output) {
  std::unique_ptr<tensorflow::WritableFile> file;
  Check(tensorflow::Env::Default()->NewWritableFile(output, &file));
  tensorflow::io::RecordWriter writer(file.get());
  int status = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    Bytes response;
    const auto said = model.Answer(requests[i], &response);
    if (!said.ok()) {
      std::fprintf(stderr, "request %zu: %s\n", i, said.ToString().c_str());
      response.clear();
      status = 3;
    }
    Check(writer.WriteRecord(response));
  }
  Check(writer.Close());
  Check(file->Close());
  return status;
}

double Percentile(const std::vector<double>& sorted, double share) {
  return sorted[std::min(sorted.size() - 1, size_t(share * sorted.size()))];
}

int Times(const Model& model, const std::vector<Request>& requests,
          double seconds, double rate) {
  for (int turn = 0; turn < 3; ++turn) {
    for (const Request& request : requests) {
      Check(model.Answer(request, nullptr));
    }
  }
  std::vector<double> taken;
  const auto start = Clock::now();
  const auto since = [&](Clock::time_point then) {
    return std::chrono::duration<double>(Clock::now() - then).count();
  };
  const double most = seconds * rate;
  const auto goes_on = [&] {
    return rate > 0 ? taken.size() < most : since(start) < seconds;
  };
  while (goes_on() || taken.empty()) {
    auto due = Clock::now();
    if (rate > 0) {
      due = start + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(taken.size() / rate));
      std::this_thread::sleep_until(due);
    }
    Check(model.Answer(requests[taken.size() % requests.size()], nullptr));
    taken.push_back(since(due));
  }
  const double reached = taken.size() / since(start);
  std::sort(taken.begin(), taken.end());
  std::printf(
      "{\"requests\": %zu, \"per_second\": %.6g, \"p50_ms\": %.6g, "
      "\"p99_ms\": %.6g}\n",
      taken.size(), reached, 1e3 * Percentile(taken, 0.5),
      1e3 * Percentile(taken, 0.99));
  return 0;
}

}  // namespace

int main(int count, char** words) {
  double seconds = 0, rate = 0;
  const char* output = nullptr;
  for (int i = 3; i < count; ++i) {
    if (std::sscanf(words[i], "--seconds=%lf", &seconds) == 1) continue;
    if (std::sscanf(words[i], "--rate=%lf", &rate) == 1) continue;
    output = words[i];
  }
  if (count < 4 || (output == nullptr) == (seconds <= 0)) {
    Fail("usage: load MODEL REQUESTS OUTPUT | --seconds=S [--rate=R]");
  }
  const Model model(words[1]);
  const std::vector<Request> requests = Read(words[2]);
  if (requests.empty()) Fail("there should be a request, there is none");
  return output ? Answers(model, requests, output)
                : Times(model, requests, seconds, rate);
}
