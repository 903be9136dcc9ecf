// Every verb of `heed` against a server whose replies are broken: a real one, with a proxy before
// it that damages one field of the replies at a time. The fields are found by reflection, so that a
// new one cannot be forgotten. A command ends as commands do, with what it was asked for or an
// error.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/reflection.h"
#include "gtest/gtest.h"
#include "tests/checkpoint/checkpoint_builder.h"
#include "tests/client/run_command.h"
#include "tests/integration/raw_server.h"

namespace heed {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// ---- Damages ------------------------------------------------------------------------------------

// One way to damage one field of one type of message.
struct Damage {
  const google::protobuf::Descriptor* type = nullptr;
  std::vector<const FieldDescriptor*> path;  // of lists of messages, in the last one
  int kind = 0;

  std::string Name() const {
    return absl::StrCat(type->name(), ".",
                        absl::StrJoin(path, ".",
                                      [](std::string* out, const FieldDescriptor* field) {
                                        absl::StrAppend(out, field->name());
                                      }),
                        " #", kind);
  }
};

int KindCount(const FieldDescriptor* field) {
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (field->is_repeated()) return is_message ? 3 : 5;
  if (is_message) return 1;
  return field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL ? 1 : 3;
}

void SetScalar(const FieldDescriptor* field, int kind, Message* m) {
  const Reflection& r = *m->GetReflection();
  constexpr int64_t kIntegers[] = {-1, 1 << 20, std::numeric_limits<int32_t>::max()};
  constexpr double kReals[] = {std::numeric_limits<double>::quiet_NaN(),
                               std::numeric_limits<double>::infinity(), -1e300};
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return r.SetInt32(m, field, static_cast<int32_t>(kIntegers[kind]));
    case FieldDescriptor::CPPTYPE_INT64:
      return r.SetInt64(m, field, kIntegers[kind] << (kind == 2 ? 31 : 0));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return r.SetDouble(m, field, kReals[kind]);
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.SetBool(m, field, !r.GetBool(*m, field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return r.SetEnumValue(m, field, static_cast<int>(kIntegers[kind]));
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string text = r.GetString(*m, field);
      if (kind == 0) text.clear();
      if (kind == 1) text.resize(text.size() - std::min<size_t>(text.size(), 4));
      // A NaN, where the bytes are floats.
      if (kind == 2)
        text.replace(0, 4,
                     field->type() == FieldDescriptor::TYPE_BYTES ? std::string("\0\0\xc0\x7f", 4)
                                                                  : "\x1b[1m");
      return r.SetString(m, field, text);
    }
    default:
      ADD_FAILURE() << "a type no reply used so far: " << field->full_name();
  }
}

template <typename T>
void DamageList(const FieldDescriptor* field, int kind, const T& low, const T& high, Message* m) {
  const auto list = m->GetReflection()->GetMutableRepeatedFieldRef<T>(m, field);
  if (list.size() == 0) return;
  if (kind == 0) list.Clear();
  if (kind == 1) list.RemoveLast();
  if (kind == 2) list.Add(list.Get(list.size() - 1));
  if (kind == 3) list.Set(0, low);
  if (kind == 4) list.Set(list.size() - 1, high);
}

void DamageField(const FieldDescriptor* field, int kind, Message* m) {
  const Reflection& r = *m->GetReflection();
  if (!field->is_repeated()) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return SetScalar(field, kind, m);
    return r.ClearField(m, field);
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const int size = r.FieldSize(*m, field);
      if (size == 0) return;
      if (kind == 0) r.ClearField(m, field);
      if (kind == 1) r.RemoveLast(m, field);
      if (kind == 2) {
        const std::unique_ptr<Message> copy(r.GetRepeatedMessage(*m, field, size - 1).New());
        copy->CopyFrom(r.GetRepeatedMessage(*m, field, size - 1));
        r.AddMessage(m, field)->CopyFrom(*copy);
      }
      return;
    }
    case FieldDescriptor::CPPTYPE_INT32:
      return DamageList<int32_t>(field, kind, -1, std::numeric_limits<int32_t>::max(), m);
    case FieldDescriptor::CPPTYPE_INT64:
      return DamageList<int64_t>(field, kind, -1, std::numeric_limits<int64_t>::max(), m);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return DamageList<double>(field, kind, std::numeric_limits<double>::quiet_NaN(), 1e300, m);
    case FieldDescriptor::CPPTYPE_ENUM:
      if (r.FieldSize(*m, field) > 0) r.SetRepeatedEnumValue(m, field, 0, 1000);
      return;
    case FieldDescriptor::CPPTYPE_STRING:
      if (r.FieldSize(*m, field) > 0) r.SetRepeatedString(m, field, 0, "");
      return;
    default:
      ADD_FAILURE() << "a type no reply used so far: " << field->full_name();
  }
}

void Apply(const Damage& damage, size_t depth, Message* message) {
  const FieldDescriptor* const field = damage.path[depth];
  if (depth + 1 == damage.path.size()) return DamageField(field, damage.kind, message);
  const Reflection& reflection = *message->GetReflection();
  if (!field->is_repeated()) {
    if (!reflection.HasField(*message, field)) return;
    return Apply(damage, depth + 1, reflection.MutableMessage(message, field));
  }
  const int size = reflection.FieldSize(*message, field);
  if (size == 0) return;
  Apply(damage, depth + 1, reflection.MutableRepeatedMessage(message, field, size - 1));
}

// Collects the damages that replies can take.
class Collector {
 public:
  void Add(const Message& message) { Visit(message.GetDescriptor(), message, {}); }
  const std::vector<Damage>& damages() const { return damages_; }

 private:
  void Visit(const google::protobuf::Descriptor* type, const Message& message,
             const std::vector<const FieldDescriptor*>& path) {
    const Reflection& reflection = *message.GetReflection();
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* const field = message.GetDescriptor()->field(i);
      const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
      const bool is_there = field->is_repeated() ? reflection.FieldSize(message, field) > 0
                                                 : reflection.HasField(message, field);
      const bool is_zero = !is_there && !is_message && !field->is_repeated() &&
                           field->real_containing_oneof() == nullptr;
      if (!is_there && !is_zero) continue;
      std::vector<const FieldDescriptor*> below = path;
      below.push_back(field);
      for (int kind = 0; kind < KindCount(field); ++kind) {
        const Damage damage{type, below, kind};
        if (seen_.insert(damage.Name()).second) damages_.push_back(damage);
      }
      if (!is_message) continue;
      const int last = field->is_repeated() ? reflection.FieldSize(message, field) - 1 : 0;
      Visit(type,
            field->is_repeated() ? reflection.GetRepeatedMessage(message, field, last)
                                 : reflection.GetMessage(message, field),
            below);
    }
  }

  std::set<std::string> seen_;
  std::vector<Damage> damages_;
};

// ---- The proxy ----------------------------------------------------------------------------------

// Passes calls on to a server, and replies back through `damage`.
class Proxy {
 public:
  explicit Proxy(RawServer& server)
      : models_(this, *server.models),
        predictions_(this, *server.prediction),
        inspections_(this, *server.inspection),
        embeddings_(this, *server.embedding),
        experiments_(this, *server.experiment) {
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    for (grpc::Service* service : std::initializer_list<grpc::Service*>{
             &models_, &predictions_, &inspections_, &embeddings_, &experiments_}) {
      builder.RegisterService(service);
    }
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~Proxy() { server_->Shutdown(std::chrono::system_clock::now()); }

  const std::string& address() const { return address_; }
  // From one thread at a time, as long as commands make one call at a time.
  std::function<void(Message*)> damage;

 private:
  template <typename Stub, typename Request, typename Reply>
  grpc::Status Forward(Stub& stub,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                       const Request& request, Reply* reply) {
    grpc::ClientContext context;
    const grpc::Status status = (stub.*method)(&context, request, reply);
    if (status.ok()) damage(reply);
    return status;
  }
  template <typename Reply>
  grpc::Status Forward(std::unique_ptr<grpc::ClientReader<Reply>> reader,
                       grpc::ServerWriter<Reply>* writer) {
    Reply reply;
    while (reader->Read(&reply)) {
      damage(&reply);
      writer->Write(reply);
    }
    return reader->Finish();
  }

#define HEED_UNARY(NAME)                                                                  \
  grpc::Status NAME(grpc::ServerContext*, const v1::NAME##Request* request,               \
                    v1::NAME##Response* reply) override {                                 \
    return proxy_->Forward(stub_, &std::decay_t<decltype(stub_)>::NAME, *request, reply); \
  }
#define HEED_STREAM(NAME)                                                      \
  grpc::Status NAME(grpc::ServerContext*, const v1::NAME##Request* request,    \
                    grpc::ServerWriter<v1::NAME##Response>* writer) override { \
    grpc::ClientContext context;                                               \
    return proxy_->Forward(stub_.NAME(&context, *request), writer);            \
  }
#define HEED_SERVICE(NAME, ...)                                              \
  class NAME final : public v1::NAME::Service {                              \
   public:                                                                   \
    NAME(Proxy* proxy, v1::NAME::Stub& stub) : proxy_(proxy), stub_(stub) {} \
    __VA_ARGS__                                                              \
                                                                             \
   private:                                                                  \
    Proxy* const proxy_;                                                     \
    v1::NAME::Stub& stub_;                                                   \
  };

  HEED_SERVICE(ModelService, HEED_UNARY(ListModels) HEED_UNARY(GetModel) HEED_UNARY(Tokenize)
                                 HEED_UNARY(Detokenize))
  HEED_SERVICE(PredictionService, HEED_UNARY(Predict) HEED_STREAM(Generate))
  HEED_SERVICE(EmbeddingService, HEED_UNARY(Embed))
  HEED_SERVICE(InspectionService,
               HEED_UNARY(OpenTrace) HEED_UNARY(RenewTrace) HEED_UNARY(CloseTrace)
                   HEED_UNARY(ExplainRow) HEED_UNARY(GetHeadStats) HEED_UNARY(DetectHeads)
                       HEED_UNARY(LogitLens) HEED_UNARY(AttributeLogits) HEED_UNARY(Rollout)
                           HEED_UNARY(DecomposeAttention) HEED_STREAM(GetAttention)
                               HEED_STREAM(GetActivations))
  HEED_SERVICE(
      ExperimentService,
      HEED_UNARY(Intervene) HEED_UNARY(Compare) HEED_UNARY(EstimateCost) HEED_STREAM(Sweep)
      // Answers to one request at a time, as commands that do not draw ask.
      grpc::Status Explore(grpc::ServerContext*,
                           grpc::ServerReaderWriter<v1::ExploreResponse, v1::ExploreRequest>* to)
          override {
            grpc::ClientContext context;
            const auto from = stub_.Explore(&context);
            v1::ExploreRequest request;
            v1::ExploreResponse reply;
            while (to->Read(&request) && from->Write(request) && from->Read(&reply)) {
              proxy_->damage(&reply);
              to->Write(reply);
            }
            from->WritesDone();
            while (from->Read(&reply)) {
            }
            return from->Finish();
          })

#undef HEED_UNARY
#undef HEED_STREAM
#undef HEED_SERVICE

  ModelService models_;
  PredictionService predictions_;
  InspectionService inspections_;
  EmbeddingService embeddings_;
  ExperimentService experiments_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// ---- The tests ----------------------------------------------------------------------------------

// FILE is a file of its own. Each command also has --json tried, unless it writes a file.
constexpr const char* kCommands[] = {
    "predict PROMPT",
    "predict PROMPT --all",
    "predict PROMPT --full=FILE.npy",
    "generate PROMPT --max-tokens=2 --logprobs --attention",
    "attention PROMPT",
    "attention PROMPT --layer=0 --head=0",
    "attention PROMPT --packed",
    "attention PROMPT --top-k=2",
    "attention PROMPT --threshold=0.1",
    "attention PROMPT --pool=2",
    "attention PROMPT --spans=0:1,1:3",
    "attention PROMPT --spans=0:1,1:3 --average",
    "attention PROMPT --stage=masked",
    "attention PROMPT --fuse=mean --keys=1:3",
    "attention PROMPT --html=FILE",
    "attention PROMPT --output=FILE.csv",
    "stats PROMPT",
    "stats PROMPT --per-row",
    "stats PROMPT --html=FILE --output=FILE.safetensors",
    "detect PROMPT --pattern=previous",
    "detect PROMPT --html=FILE --output=FILE.csv",
    "lens PROMPT --token=5",
    "lens PROMPT --all",
    "lens PROMPT --html=FILE --output=FILE.csv",
    "attribute PROMPT --by=source",
    "attribute PROMPT --by=source --html=FILE --output=FILE.csv",
    "explain PROMPT --token=5",
    "explain PROMPT --token=5 --html=FILE --output=FILE.safetensors",
    "rollout PROMPT --all",
    "rollout PROMPT --html=FILE --output=FILE.csv",
    "decompose PROMPT",
    "decompose PROMPT --query=0 --query=-1",
    "decompose PROMPT --html=FILE --output=FILE.csv",
    "intervene PROMPT --ablate=1.1 --ablate=1.2 --metric=rank --metric=kl",
    "sweep PROMPT",
    "sweep PROMPT --grid=edges",
    "sweep PROMPT --grid=focus",
    "sweep PROMPT --html=FILE --output=FILE.csv",
    "compare PROMPT OTHER",
    "compare PROMPT OTHER --html=FILE --output=FILE.csv",
    "activations PROMPT",
    "activations PROMPT --site=query --html=FILE --output=FILE.csv",
    "activations PROMPT --form=cosines",
    "activations PROMPT --other=OTHER",
    "activations PROMPT --form=pca --html=FILE --output=FILE.safetensors",
    "activations PROMPT --form=vectors --npy=FILE",
    "explore PROMPT --html=FILE",
    "embed PROMPT OTHER --tokens",
    "ladder PROMPT OTHER --models=llama,bert",
    "tokenize PROMPT",
    "detokenize 5,6",
    "models",
    "describe llama",
    "traces open PROMPT",
};

class DamagedRepliesTest : public SharedServerTest, public testing::WithParamInterface<int> {
 protected:
  std::vector<std::string> Words(const std::string& command) const {
    std::vector<std::string> words;
    for (absl::string_view word : absl::StrSplit(command, ' ')) {
      words.push_back(absl::StrReplaceAll(word, {{"PROMPT", "hello there hello"},
                                                 {"OTHER", "hello you"},
                                                 {"FILE", folder_.File("file")}}));
    }
    return words;
  }

  cli::CommandResult Run(const std::vector<std::string>& words) const {
    cli::CommandOptions options;
    options.terminal.is_terminal = true;
    return cli::RunCommand(proxy_.address(), words, options);
  }

  void TryAll(const std::vector<std::string>& words, int first_kind) {
    const std::string command = absl::StrJoin(words, " ");
    Collector collector;
    absl::Mutex mutex;  // the ladder asks its models at the same time
    proxy_.damage = [&](Message* reply) {
      absl::MutexLock lock(&mutex);
      collector.Add(*reply);
    };
    const cli::CommandResult good = Run(words);
    EXPECT_EQ(good.exit_code, 0) << command << ": " << good.err;
    EXPECT_GE(collector.damages().size(), 10u) << command;
    for (const Damage& damage : collector.damages()) {
      // One way for each field; other commands and forms try the others.
      const int kinds = KindCount(damage.path.back());
      if (damage.kind != (first_kind + static_cast<int>(damage.path.size())) % kinds) continue;
      proxy_.damage = [&](Message* reply) {
        if (reply->GetDescriptor() == damage.type) Apply(damage, 0, reply);
      };
      const cli::CommandResult result = Run(words);
      const std::string what = absl::StrCat(command, ", ", damage.Name(), ": ", result.err);
      EXPECT_THAT(result.exit_code, testing::AnyOf(0, 1)) << what;
      if (result.exit_code == 1) {
        EXPECT_FALSE(result.err.empty()) << what;
      }
      EXPECT_LT(result.out.size(), size_t{1} << 20) << what;
    }
  }

  TestFolder folder_;
  Proxy proxy_{*shared_};
};

TEST_P(DamagedRepliesTest, EndInAnAnswerOrAnError) {
  const std::string command = kCommands[GetParam()];
  std::vector<std::string> words = Words(command);
  TryAll(words, GetParam());
  if (absl::StrContains(command, "FILE")) return;
  words.push_back("--json");
  TryAll(words, GetParam() + 1);
}

INSTANTIATE_TEST_SUITE_P(Commands, DamagedRepliesTest,
                         testing::Range(0, static_cast<int>(std::size(kCommands))),
                         [](const auto& info) {
                           std::string name = kCommands[info.param];
                           for (char& c : name) c = absl::ascii_isalnum(c) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace heed
