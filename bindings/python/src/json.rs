//! Values: JSON of the engine, objects of Python.

use pyo3::{
    exceptions::PyTypeError,
    intern,
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyNone, PyString, PyTuple},
};
use spacefold::{
    Value,
    event::{LimitExceeded, MAX_JSON_DEPTH, Object},
};

use crate::errors::{self, ToPyErr};

/// A value as Python has it.
pub(crate) fn to_py<'py, S: AsRef<str>>(
    py: Python<'py>,
    value: &Value<S>,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => PyNone::get(py).to_owned().into_any(),
        Value::Bool(it) => PyBool::new(py, *it).to_owned().into_any(),
        Value::Integer(it) => it.into_pyobject(py)?.into_any(),
        Value::BigInteger(digits) => py.get_type::<PyInt>().call1((digits.as_str(),))?,
        Value::Float(it) => PyFloat::new(py, it.get()).into_any(),
        Value::String(text) => PyString::new(py, text.as_ref()).into_any(),
        Value::Array(values) => {
            let list = PyList::empty(py);
            for value in values {
                list.append(to_py(py, value)?)?;
            }
            list.into_any()
        }
        Value::Object(object) => object_to_py(py, object)?.into_any(),
    })
}

/// An object as a `dict`.
pub(crate) fn object_to_py<'py, S: AsRef<str>>(
    py: Python<'py>,
    object: &Object<S>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in object.iter() {
        dict.set_item(PyString::intern(py, key.as_ref()), to_py(py, value)?)?;
    }
    Ok(dict)
}

/// Parses JSON by Python, whose numbers are as exact as ours.
pub(crate) fn loads<'py>(py: Python<'py>, json: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "json"))?.call_method1(intern!(py, "loads"), (json,))
}

/// A value of Python as one of the engine.
pub(crate) fn of_py(value: &Bound<'_, PyAny>) -> PyResult<Value> {
    let mut json = Vec::new();
    write(value, &mut json, 0)?;
    let text = String::from_utf8(json).map_err(|_| errors::never("JSON is text"))?;
    text.parse().map_err(|error| errors::invalid(value.py(), &format!("{error}")))
}

/// A `dict` of Python as an object of the engine.
pub(crate) fn object_of_py(value: &Bound<'_, PyAny>) -> PyResult<Object> {
    match of_py(value)? {
        Value::Object(object) => Ok(object),
        other => {
            Err(PyTypeError::new_err(format!("an object is expected, not {}", other.type_name())))
        }
    }
}

/// Appends a value of Python as JSON.
pub(crate) fn write(value: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: usize) -> PyResult<()> {
    if let Ok(text) = value.cast::<PyString>() {
        return write_text(text, out);
    }
    if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(it) = value.cast::<PyBool>() {
        out.extend_from_slice(if it.is_true() { b"true" } else { b"false" });
    } else if value.is_instance_of::<PyInt>() {
        write_int(value, out)?;
    } else if let Ok(float) = value.cast::<PyFloat>() {
        write_float(float, out)?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        check_depth(value.py(), depth)?;
        write_members(dict.iter().map(Ok), out, depth)?;
    } else if let Ok(list) = value.cast::<PyList>() {
        check_depth(value.py(), depth)?;
        write_items(list.iter(), out, depth)?;
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        check_depth(value.py(), depth)?;
        write_items(tuple.iter(), out, depth)?;
    } else if let Ok(mapping) = value.cast::<PyMapping>() {
        check_depth(value.py(), depth)?;
        let items = mapping.items()?;
        write_members(items.iter().map(|pair| pair.extract()), out, depth)?;
    } else {
        let found = value.get_type().name()?.to_string();
        return Err(PyTypeError::new_err(format!("a value of type {found} is no JSON")));
    }
    Ok(())
}

fn check_depth(py: Python<'_>, depth: usize) -> PyResult<()> {
    if depth < MAX_JSON_DEPTH + 2 {
        return Ok(());
    }
    Err(LimitExceeded::TooDeep { depth }.to_py_err(py))
}

fn write_int(value: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    if let Ok(small) = value.extract::<i64>() {
        out.extend_from_slice(small.to_string().as_bytes());
        return Ok(());
    }
    // Whatever a subclass prints, `int` says the digits.
    let digits =
        value.py().get_type::<PyInt>().call_method1(intern!(value.py(), "__repr__"), (value,))?;
    out.extend_from_slice(digits.cast::<PyString>()?.to_cow()?.as_bytes());
    Ok(())
}

fn write_float(float: &Bound<'_, PyFloat>, out: &mut Vec<u8>) -> PyResult<()> {
    let it = float.value();
    if !it.is_finite() {
        let message = format!("the float {it} is no JSON: only finite ones are");
        return Err(errors::invalid(float.py(), &message));
    }
    out.extend_from_slice(format!("{it:?}").as_bytes());
    Ok(())
}

fn write_items<'py>(
    items: impl Iterator<Item = Bound<'py, PyAny>>,
    out: &mut Vec<u8>,
    depth: usize,
) -> PyResult<()> {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(&item, out, depth + 1)?;
    }
    out.push(b']');
    Ok(())
}

fn write_members<'py>(
    members: impl Iterator<Item = PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>>,
    out: &mut Vec<u8>,
    depth: usize,
) -> PyResult<()> {
    out.push(b'{');
    for (index, member) in members.enumerate() {
        let (key, value) = member?;
        if index > 0 {
            out.push(b',');
        }
        let Ok(key) = key.cast::<PyString>() else {
            let found = key.get_type().name()?.to_string();
            return Err(PyTypeError::new_err(format!("a key of an object is a str, not {found}")));
        };
        write_text(key, out)?;
        out.push(b':');
        write(&value, out, depth + 1)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends a text as a JSON string.
pub(crate) fn write_text(text: &Bound<'_, PyString>, out: &mut Vec<u8>) -> PyResult<()> {
    let text = text.to_cow().map_err(|_| {
        errors::invalid(text.py(), "a text holds half of a surrogate pair, which is no Unicode")
    })?;
    write_str(&text, out);
    Ok(())
}

/// Appends a value as JSON.
pub(crate) fn write_value<S: AsRef<str>>(value: &Value<S>, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => write_str(text.as_ref(), out),
        Value::Object(object) => write_object(object, out),
        Value::Array(values) => {
            out.push(b'[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_value(value, out);
            }
            out.push(b']');
        }
        plain => out.extend_from_slice(plain.to_string().as_bytes()),
    }
}

/// Appends an object as JSON.
pub(crate) fn write_object<S: AsRef<str>>(object: &Object<S>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (place, (key, value)) in object.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_str(key.as_ref(), out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

const fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends a text as a JSON string.
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    // Looked at without a branch a byte: most texts have nothing to escape.
    if !rest.iter().fold(false, |found, byte| found | is_escaped(*byte)) {
        out.extend_from_slice(rest);
        rest = &[];
    }
    while let Some(at) = rest.iter().position(|byte| is_escaped(*byte)) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before);
        let Some((byte, after)) = from.split_first() else { break };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
