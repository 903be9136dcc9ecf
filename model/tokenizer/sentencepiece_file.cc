// The wire form of SentencePiece's ModelProto, as far as tokenizing needs it.
#include <cstring>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "model/base/error.h"
#include "model/base/status_macros.h"
#include "model/tokenizer/sentencepiece.h"

namespace heed {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 22;

absl::Status Damaged(absl::string_view source, absl::string_view problem) {
  return MakeError(absl::StatusCode::kInvalidArgument, "CHECKPOINT_INVALID",
                   absl::StrCat(source, ": ", problem));
}

absl::Status Unsupported(absl::string_view source, absl::string_view problem) {
  return MakeError(absl::StatusCode::kUnimplemented, "CHECKPOINT_UNSUPPORTED",
                   absl::StrCat(source, ": ", problem));
}

enum WireType { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct Field {
  uint64_t number = 0;
  WireType type = kVarint;
  uint64_t value = 0;       // of a varint or a fixed
  absl::string_view bytes;  // of bytes
};

// One message after another field by field.
class WireReader {
 public:
  WireReader(absl::string_view source, absl::string_view bytes) : source_(source), rest_(bytes) {}

  absl::Status ForEach(absl::FunctionRef<absl::Status(const Field&)> visit) {
    while (!rest_.empty()) {
      Field field;
      HEED_RETURN_IF_ERROR(Read(&field));
      HEED_RETURN_IF_ERROR(visit(field));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Read(Field* field) {
    HEED_ASSIGN_OR_RETURN(const uint64_t tag, Varint());
    field->number = tag >> 3;
    field->type = static_cast<WireType>(tag & 7);
    if (field->number == 0) return Damaged(source_, "has a field with the number 0");
    switch (field->type) {
      case kVarint: {
        HEED_ASSIGN_OR_RETURN(field->value, Varint());
        return absl::OkStatus();
      }
      case kFixed64:
        return Fixed(8, field);
      case kFixed32:
        return Fixed(4, field);
      case kBytes: {
        HEED_ASSIGN_OR_RETURN(const uint64_t size, Varint());
        HEED_ASSIGN_OR_RETURN(field->bytes, Take(size));
        return absl::OkStatus();
      }
    }
    return Damaged(source_, absl::StrCat("has a field of the wire type ", tag & 7));
  }

  absl::StatusOr<absl::string_view> Take(uint64_t size) {
    if (size > rest_.size()) {
      return Damaged(source_, absl::StrCat("is cut short: ", size, " bytes are announced where ",
                                           rest_.size(), " follow"));
    }
    const absl::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  absl::Status Fixed(size_t size, Field* field) {
    HEED_ASSIGN_OR_RETURN(const absl::string_view bytes, Take(size));
    for (size_t i = 0; i < size; ++i) {
      field->value |= static_cast<uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    }
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      HEED_ASSIGN_OR_RETURN(const absl::string_view byte, Take(1));
      const uint64_t bits = static_cast<unsigned char>(byte[0]);
      value |= (bits & 0x7F) << shift;
      if (bits < 0x80) return value;
    }
    return Damaged(source_, "has a number of more than 10 bytes");
  }

  absl::string_view source_;
  absl::string_view rest_;
};

class ModelReader {
 public:
  explicit ModelReader(absl::string_view source) { facts_.source = std::string(source); }

  absl::StatusOr<SentencePieceFacts> Read(absl::string_view bytes) {
    WireReader reader(facts_.source, bytes);
    HEED_RETURN_IF_ERROR(reader.ForEach([this](const Field& field) {
      if (field.number > 3) return absl::OkStatus();
      if (field.type != kBytes) return WrongType(field);
      if (field.number == 1) return ReadPiece(field.bytes);
      if (field.number == 2) return ReadTrainer(field.bytes);
      return ReadNormalizer(field.bytes);
    }));
    if (facts_.pieces.empty()) return Damaged(facts_.source, "has no pieces");
    HEED_RETURN_IF_ERROR(CheckTrainer());
    HEED_RETURN_IF_ERROR(CheckPieces(facts_));
    return std::move(facts_);
  }

 private:
  absl::Status WrongType(const Field& field) const {
    return Damaged(facts_.source,
                   absl::StrCat("field ", field.number, " has the wire type ", field.type));
  }

  absl::Status ReadPiece(absl::string_view bytes) {
    if (facts_.pieces.size() == kMaxPieces) {
      return Damaged(facts_.source, absl::StrCat("has more than ", kMaxPieces, " pieces"));
    }
    std::string piece;
    float score = 0;
    uint64_t kind = 1;
    WireReader reader(facts_.source, bytes);
    HEED_RETURN_IF_ERROR(reader.ForEach([&](const Field& field) {
      if (field.number > 3) return absl::OkStatus();
      constexpr WireType kTypes[] = {kBytes, kFixed32, kVarint};
      if (field.type != kTypes[field.number - 1]) return WrongType(field);
      if (field.number == 1) piece = std::string(field.bytes);
      if (field.number == 2) score = ToFloat(field.value);
      if (field.number == 3) kind = field.value;
      return absl::OkStatus();
    }));
    if (kind < 1 || kind > 6) {
      return Damaged(facts_.source, absl::StrCat("piece ", facts_.pieces.size(), " has the type ",
                                                 kind, "; expected 1 to 6"));
    }
    if (kind == static_cast<uint64_t>(PieceKind::kUnknown)) {
      facts_.unk_id = static_cast<TokenId>(facts_.pieces.size());
    }
    facts_.pieces.push_back(std::move(piece));
    facts_.scores.push_back(score);
    facts_.kinds.push_back(static_cast<PieceKind>(kind));
    return absl::OkStatus();
  }

  static float ToFloat(uint64_t bits) {
    const uint32_t low = static_cast<uint32_t>(bits);
    float value = 0;
    std::memcpy(&value, &low, sizeof(value));
    return value;
  }

  absl::Status ReadTrainer(absl::string_view bytes) {
    WireReader reader(facts_.source, bytes);
    return reader.ForEach([this](const Field& field) {
      if (field.type != kVarint) return absl::OkStatus();
      if (field.number == 3) model_type_ = field.value;
      if (field.number == 24) space_as_suffix_ = field.value != 0;
      if (field.number == 35) facts_.byte_fallback = field.value != 0;
      if (field.number == 41) bos_id_ = static_cast<int32_t>(field.value);
      if (field.number == 42) eos_id_ = static_cast<int32_t>(field.value);
      return absl::OkStatus();
    });
  }

  absl::Status ReadNormalizer(absl::string_view bytes) {
    WireReader reader(facts_.source, bytes);
    return reader.ForEach([this](const Field& field) {
      if (field.number == 2 && field.type == kBytes) facts_.charsmap = std::string(field.bytes);
      if (field.type != kVarint) return absl::OkStatus();
      if (field.number == 3) facts_.add_dummy_prefix = field.value != 0;
      if (field.number == 4) facts_.remove_extra_whitespaces = field.value != 0;
      if (field.number == 5) facts_.escape_whitespaces = field.value != 0;
      return absl::OkStatus();
    });
  }

  // Any other id than that of a control token, -1 above all, means that there is no such token.
  std::optional<TokenId> ControlId(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= facts_.pieces.size()) return std::nullopt;
    if (facts_.kinds[id] != PieceKind::kControl) return std::nullopt;
    return id;
  }

  absl::Status CheckTrainer() {
    if (model_type_ != 1 && model_type_ != 2) {
      return Unsupported(facts_.source, absl::StrCat("has the model type ", model_type_,
                                                     "; heed reads 1 (unigram) and 2 (BPE)"));
    }
    if (space_as_suffix_) {
      return Unsupported(facts_.source, "treats whitespace as a suffix; heed reads it as a prefix");
    }
    facts_.is_bpe = model_type_ == 2;
    facts_.bos_id = ControlId(bos_id_);
    facts_.eos_id = ControlId(eos_id_);
    return absl::OkStatus();
  }

  SentencePieceFacts facts_;
  uint64_t model_type_ = 1;
  bool space_as_suffix_ = false;
  int32_t bos_id_ = 1;
  int32_t eos_id_ = 2;
};

}  // namespace

absl::StatusOr<SentencePieceFacts> ParseSentencePieceModel(absl::string_view source,
                                                           absl::string_view bytes) {
  return ModelReader(source).Read(bytes);
}

}  // namespace heed
